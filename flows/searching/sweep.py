"""A search as its workers share it: what is to be trained, who has it, how far it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

from corpus.progress import Progress
from engine.core.build import build
from engine.core.digest import digest
from flows.running import settings
from flows.running.code import code_files
from flows.running.orchestrate import task
from flows.searching.attempt import attempt, log_row, ranked, row_of
from flows.searching.samplers import PRUNERS, made, sampler, warmed
from flows.searching.storage import connected, opened, retry
from flows.searching.study import Plan, StepBack, holders, outcome
from flows.tracking.tracking import Run
from flows.training.learning import CORPUS, split_samples
from models.blocks.ranges import Count, Positive, Seed

TURNED_DOWN = (
    20  # networks out of the latency band for each within, beyond which the band is impossible
)
BUDGETS = (
    "trials",
    "hours",
    "images",
    "retrain",
)  # what may change without making it another search


@dataclass(frozen=True)
class Retrain:
    """The `best` networks trained again, longer, once for each seed: their means decide.

    Without seeds, one error does. Radosavovic et al. 2020 take the best of 25 and report the mean
    of 5 longer trainings.

    best: networks that are trained again.
    seeds: of these trainings.
    epochs: of each.
    """

    best: Count = 1
    seeds: tuple[Seed, ...] = ()
    epochs: Positive = 10


def key_of(section: dict[str, Any], *backbones: str) -> str:
    """What the results of trainings are known by: numbers, data, and the code that makes them.

    backbones: plug-ins that the networks are of, beside the reference's. Who shares the work out,
    and what times a network unless its latency is asked for, has no part in it.
    """
    used = [Path(folder) / "trials.jsonl" for folder in section.get("warm_start", ())]
    aside = {"flows.searching.deaths", "flows.searching.storage", "flows.searching.study"}
    if not section.get("latency_ms") and "latency_ms" not in section.get("objectives", ()):
        aside |= {"engine.measure.profile", "engine.measure.timing"}
    named = ("flows.searching.samplers", *(f"models.backbones.{name}" for name in backbones))
    files = code_files("searching.attempt", section, *named, aside=aside)
    return digest(section, CORPUS / section["data"] / "index.parquet", *files, *used)


@dataclass(frozen=True)
class Search:
    """A search as each of its workers has it: its section, its space, its MLflow run and its two
    studies.

    networks: a slot for each network of the space. finals: the reference, and the best trained
    again.
    """

    section: dict[str, Any]
    space: Any
    key: str
    networks: Study
    finals: Study
    run: Run

    @classmethod
    def joined(cls, section: dict[str, Any], run: Run | None = None) -> "Search":
        """The search of this section, begun if it is new; `run`: of the stage, which leaves it
        for other workers.
        """
        split_samples(section["data"], "train")  # says what there is
        lasting = {name: value for name, value in section.items() if name not in BUDGETS}
        key = key_of(lasting, *settings.load_params()["candidates"].values())
        space = build("spaces", section["space"], where="search.space")
        size = section["trials"] or 1
        spare = not section["trials"] or bool(section["latency_ms"] or section["warm_start"])
        draws = sampler(section["sampler"], space, size, section["seed"], spare)
        pruner = made(PRUNERS, section["pruner"], "search.pruner")
        storage = connected(settings.STATE / "search" / f"{key}.db")
        networks = opened(storage, f"search {key}", len(section["objectives"]), draws, pruner)
        if run:
            retry(networks.set_user_attr)("run", vars(run))
            warmed(networks, section["warm_start"], space, section["objectives"])
        elif "run" not in networks.user_attrs:
            raise ValueError(
                "no search of these params has begun in this storage: start the stage search first"
            )
        run = run or Run(**networks.user_attrs["run"])
        return cls(section, space, key, networks, opened(storage, f"finals {key}", 1), run)

    @property
    def backbone(self) -> str:
        """The kind of its networks."""
        return self.space.sample(FixedTrial(self.networks.sampler.members[0]))["name"]

    def slots(self, trials: list[FrozenTrial]) -> list[int]:
        """The networks to train so far: one more than are trained or in training, until a budget
        is spent.
        """
        held = holders(trials)
        begun = [trial for trial in held.values() if trial.state != TrialState.WAITING]
        outside = sum(outcome(trial) == "out of band" for trial in begun)
        if outside > TURNED_DOWN * (1 + len(begun) - outside):
            raise ValueError(
                f"search.latency_ms: {outside} of {len(begun)} networks measured lie outside of "
                f"{self.section['latency_ms']}: see their latencies in the MLflow runs, and widen it"
            )
        drawn = self.networks.sampler.drawn(trials)
        if self._spent([trial.user_attrs.get("row", {}) for trial in begun if outcome(trial)]):
            # those that a killed worker had begun too
            return list(range(1 + max(drawn | {trial.user_attrs["slot"] for trial in begun})))
        limit = self.section["trials"] + outside if self.section["trials"] else len(begun) + 1
        # a network whose attempts were all cut short is still to be trained, though it is no longer
        # left; without either, the search ends with all that there are
        more = bool(drawn - held.keys()) or self.networks.sampler.left(trials) > 0
        return list(range(min(limit, len(begun) + more)))

    def _spent(self, rows: list[dict[str, Any]]) -> bool:
        """Whether the networks trained have used up the hours, of all workers together, or the
        images.
        """
        used = {
            "hours": sum(row.get("seconds", 0) for row in rows) / 3600,
            "images": sum(row.get("images", 0) for row in rows),
        }
        return any(self.section[budget] and used[budget] >= self.section[budget] for budget in used)

    def recorded(self) -> None:
        """Log what was trained in another run of the stage as children of this one too."""
        for study in (self.networks, self.finals):
            for slot, trial in holders(retry(study.get_trials)(deepcopy=False)).items():
                if trial.user_attrs.get("run", self.run.id) != self.run.id and outcome(trial):
                    with self.run.child(
                        f"trial {slot}" if study is self.networks else slot
                    ) as child:
                        log_row(child, row_of(trial))
                        child.tags(reused=trial.user_attrs["run"])

    def rows(self) -> list[dict[str, Any]]:
        """What became of each network, in the order of the slots."""
        held = holders(retry(self.networks.get_trials)(deepcopy=False))
        return [
            {"trial": slot} | row_of(held[slot]) for slot in sorted(held) if outcome(held[slot])
        ]

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Sections of the final trainings by name: the reference, then the best networks, seed
        by seed.
        """
        found, again = (
            {"reference": {"backbone": self.section["reference"]}},
            Retrain(**self.section["retrain"]),
        )
        for row in ranked(self.rows())[: again.best]:
            for seed in again.seeds:
                name = f"trial {row['trial']}, {again.epochs:g} epochs, seed {seed}"
                found[name] = {
                    "backbone": row["network"],
                    "epochs": again.epochs,
                    "seed": seed,
                    "trial": row["trial"],
                }
        return found

    def finished(self) -> list[dict[str, Any]]:
        """What became of the reference, then of the networks trained again, with their trial and
        seed.
        """
        held = holders(retry(self.finals.get_trials)(deepcopy=False))
        found = []
        for name, job in self.jobs().items():
            about = {
                "trial": job.get("trial", "reference"),
                "seed": job.get("seed", self.section["seed"]),
            }
            found.append(
                about
                | (
                    row_of(held[name])
                    if name in held
                    else {"outcome": "not trained", "error": None}
                )
            )
        return found


class Tally:
    """How far a search is: networks that ended, the best so far, and the one in training."""

    def __init__(self, search: Search, show: Progress, tend: Callable[[], None]) -> None:
        self.search, self.show, self.tend = search, show, tend
        self.due, self.ended, self.total, self.text = 0.0, 0, 1, ""

    def look(self) -> None:
        """Count anew, now and then."""
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + 15
        self.tend()
        rows, again = self.search.rows(), Retrain(**self.search.section["retrain"])
        finals = self.search.finals.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self.ended = len(rows) + len(finals)
        self.total = (
            max(self.search.section["trials"] or 0, len(rows)) + again.best * len(again.seeds) + 1
        )
        self.text = (
            f"best {best[0]['error']:.1f} % of {len(rows)}, " if (best := ranked(rows)) else ""
        )

    def of(self, name: str) -> Progress:
        """The progress of one training, as a part of the whole."""
        self.due = 0.0

        def show(step: int, steps: int, text: str) -> None:
            self.look()
            total = max(self.total, self.ended + 1)
            self.show(self.ended * steps + step, total * steps, f"{self.text}{name}: {text}")

        return show


@task
def sweep(search: Search, show: Progress, tend: Callable[[], None] = lambda: None) -> None:
    """Work on a search until it is finished: what the stage does, and every other worker."""
    section, tally, space = search.section, Tally(search, show, tend), search.space

    def network(trial: Trial, slot: int) -> list[float]:
        part, name = section | {"backbone": space.sample(trial)}, f"trial {slot}"
        others = holders(retry(trial.study.get_trials)(deepcopy=False)).values()
        if any(one.number < trial.number and one.params == trial.params for one in others):
            retry(trial.set_user_attr)("duplicate", True)  # two workers were suggested it at once
            raise StepBack
        row = attempt(trial, search.key, name, part, space, search.run, tally.of(name))
        return [row[objective] for objective in section["objectives"]]

    def final(trial: Trial, name: str) -> list[float]:
        part = (
            section | {"latency_ms": None} | search.jobs()[name]
        )  # the reference need not be in the band
        return [attempt(trial, search.key, name, part, space, search.run, tally.of(name))["error"]]

    def idle() -> None:
        """While other workers have the last networks: the reference, which waits for none of
        them.
        """
        tally.look()
        taken = "reference" in holders(retry(search.finals.get_trials)(deepcopy=False))
        if not taken and ranked(search.rows()):
            Plan(search.finals, lambda trials: ["reference"], final).work(tally.look)

    Plan(search.networks, search.slots, network).work(idle)
    if ranked(search.rows()):
        jobs = list(search.jobs())  # the networks are all done, so these stay
        Plan(search.finals, lambda trials: jobs, final).work(tally.look)
