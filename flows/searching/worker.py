"""What each worker of a search does, the stage among them: train networks until none is left."""

import time
from collections.abc import Callable

from optuna.trial import Trial, TrialState

from corpus.progress import Progress
from flows.running.orchestrate import task
from flows.searching.ranking import best_first
from flows.searching.search import Search, trials_of
from flows.searching.storage import retry
from flows.searching.study import SlotQueue, StepBack, holders
from flows.searching.trial import run_trial

EVERY = 15  # seconds after which the networks are counted anew


class SearchProgress:
    """How far a search is: networks that ended, the best so far, and the one in training.

    poll: called now and then, by the worker that has started others.
    """

    def __init__(self, search: Search, show: Progress, poll: Callable[[], None]) -> None:
        self.search, self.show, self.poll = search, show, poll
        self.due, self.ended, self.total, self.text = 0.0, 0, 1, ""

    def update(self) -> None:
        """Count anew, now and then."""
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + EVERY
        self.poll()
        rows, again = self.search.rows(), self.search.retrain
        finals = self.search.finals.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self.ended = len(rows) + len(finals)
        networks = max(self.search.section["trials"] or 0, len(rows))
        self.total = networks + again.best * len(again.seeds) + 1
        best = best_first(rows)
        self.text = f"best {best[0]['error']:.1f} % of {len(rows)}, " if best else ""

    def of(self, name: str) -> Progress:
        """The progress of one training, as a part of the whole."""
        self.due = 0.0

        def show(step: int, steps: int, text: str) -> None:
            self.update()
            total = max(self.total, self.ended + 1)
            self.show(self.ended * steps + step, total * steps, f"{self.text}{name}: {text}")

        return show


def _has_earlier_twin(trial: Trial) -> bool:
    """Whether another slot has the same network: two workers were suggested it at once."""
    others = holders(trials_of(trial.study)).values()
    return any(one.number < trial.number and one.params == trial.params for one in others)


def _no_poll() -> None:
    """Of a worker that has started no others."""


@task
def train_networks(search: Search, show: Progress, poll: Callable[[], None] = _no_poll) -> None:
    """Work on a search until it is finished: what the stage does, and every other worker.

    poll: called now and then.
    """
    section, space = search.section, search.space
    progress = SearchProgress(search, show, poll)

    def network(trial: Trial, slot: int) -> list[float]:
        part, name = section | {"backbone": space.sample(trial)}, f"trial {slot}"
        if _has_earlier_twin(trial):
            retry(trial.set_user_attr)("duplicate", True)
            raise StepBack
        row = run_trial(trial, search.key, name, part, space, search.run, progress.of(name))
        return [row[objective] for objective in section["objectives"]]

    def final(trial: Trial, name: str) -> list[float]:
        # the reference need not be in the band
        part = section | {"latency_ms": None} | search.final_trainings()[name]
        row = run_trial(trial, search.key, name, part, space, search.run, progress.of(name))
        return [row["error"]]

    def reference_meanwhile() -> None:
        """While other workers have the last networks: the reference waits for none of them."""
        progress.update()
        taken = "reference" in holders(trials_of(search.finals))
        if not taken and best_first(search.rows()):
            SlotQueue(search.finals, lambda trials: ["reference"], final).work(progress.update)

    SlotQueue(search.networks, search.slots, network).work(reference_meanwhile)
    if best_first(search.rows()):
        names = list(search.final_trainings())  # the networks are all done, so these stay
        SlotQueue(search.finals, lambda trials: names, final).work(progress.update)
