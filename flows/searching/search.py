"""A search as its workers share it: what is to be trained, who has it, what became of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from engine.core.build import build
from engine.core.digest import digest
from flows.running import settings
from flows.running.code import code_files
from flows.searching.ranking import best_first
from flows.searching.samplers import PRUNERS, add_earlier, from_optuna, member_sampler
from flows.searching.storage import connect, open_study, retry
from flows.searching.study import Slot, holders, outcome
from flows.searching.trial import Row, log_row, row_of
from flows.tracking.tracking import Run
from flows.training.learning import CORPUS, split_samples
from models.blocks.ranges import Count, Positive, Seed

TURNED_DOWN = 20  # networks out of the latency band for each within: more, and none may ever be
BUDGETS = ("trials", "hours", "images")
# what may change without making it another search: raised, it goes on with the networks it has
CHANGEABLE = (*BUDGETS, "retrain")


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


def search_key(section: dict[str, Any], *backbones: str) -> str:
    """What the results of trainings are known by: numbers, data, and the code that makes them.

    backbones: plug-ins that the networks are of, beside the reference's. Who shares the work out,
    and what times a network unless its latency is asked for, has no part in it.
    """
    used = [Path(folder) / "trials.jsonl" for folder in section.get("warm_start", ())]
    shared_out = ("deaths", "optuna_private", "storage", "study")
    aside = {f"flows.searching.{name}" for name in shared_out}
    if not section.get("latency_ms") and "latency_ms" not in section.get("objectives", ()):
        aside |= {"engine.measure.profile", "engine.measure.timing"}
    named = ("flows.searching.samplers", *(f"models.backbones.{name}" for name in backbones))
    files = code_files("searching.trial", section, *named, aside=aside)
    return digest(section, CORPUS / section["data"] / "index.parquet", *files, *used)


def trials_of(study: Study) -> list[FrozenTrial]:
    """All trials of a study, waited for while its storage is locked or away."""
    return retry(study.get_trials)(deepcopy=False)


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
    def join(cls, section: dict[str, Any], run: Run | None = None) -> "Search":
        """The search of this section, begun if it is new.

        run: of the stage, which leaves it for other workers. ValueError where one of these comes
        before the stage.
        """
        split_samples(section["data"], "train", section["objective"])  # says what there is
        lasting = {name: value for name, value in section.items() if name not in CHANGEABLE}
        candidates = settings.load_params()["candidates"].values()
        key = search_key(lasting, *(about["backbone"] for about in candidates))
        space = build("spaces", section["space"], where="search.space")
        networks, finals = _open_studies(section, space, key)
        if run:
            retry(networks.set_user_attr)("run", vars(run))
            add_earlier(networks, section["warm_start"], space, section["objectives"])
        elif "run" not in networks.user_attrs:
            raise ValueError(
                "no search of these params has begun in this storage: start the stage search first"
            )
        run = run or Run(**networks.user_attrs["run"])
        return cls(section, space, key, networks, finals, run)

    @property
    def backbone(self) -> str:
        """The kind of its networks."""
        return self.space.sample(FixedTrial(self.networks.sampler.members[0]))["name"]

    @property
    def retrain(self) -> Retrain:
        """What is trained again at its end."""
        return Retrain(**self.section["retrain"])

    def slots(self, trials: list[FrozenTrial]) -> list[int]:
        """The networks to train so far: one more than are trained or in training, until a budget
        is spent.

        ValueError where next to none is within the latency band.
        """
        held = holders(trials)
        begun = [trial for trial in held.values() if trial.state != TrialState.WAITING]
        outside = sum(outcome(trial) == "out of band" for trial in begun)
        if outside > TURNED_DOWN * (1 + len(begun) - outside):
            raise ValueError(
                f"search.latency_ms: {outside} of {len(begun)} networks measured lie outside of "
                f"{self.section['latency_ms']}: see their latencies in the MLflow runs, and widen "
                "it"
            )
        drawn = self.networks.sampler.drawn(trials)
        if self._spent([trial.user_attrs.get("row", {}) for trial in begun if outcome(trial)]):
            # those that a killed worker had begun too
            last = max(drawn | {trial.user_attrs["slot"] for trial in begun})
            return list(range(last + 1))
        limit = self.section["trials"] + outside if self.section["trials"] else len(begun) + 1
        # a network whose attempts were all cut short is still to be trained, though it is no longer
        # left; without either, the search ends with all that there are
        more = bool(drawn - held.keys()) or self.networks.sampler.left(trials) > 0
        return list(range(min(limit, len(begun) + more)))

    def _spent(self, rows: list[Row]) -> bool:
        """Whether the networks trained have used up the hours, of all workers together, or the
        images.
        """
        used = {
            "hours": sum(row.get("seconds", 0) for row in rows) / 3600,
            "images": sum(row.get("images", 0) for row in rows),
        }
        return any(self.section[budget] and used[budget] >= self.section[budget] for budget in used)

    def log_reused(self) -> None:
        """Log what was trained in another run of the stage as children of this one too."""
        named = {f"trial {slot}": one for slot, one in self._held(self.networks).items()}
        for name, trial in (named | self._held(self.finals)).items():
            if trial.user_attrs.get("run", self.run.id) != self.run.id and outcome(trial):
                with self.run.child(name) as child:
                    log_row(child, row_of(trial))
                    child.tags(reused=trial.user_attrs["run"])

    def _held(self, study: Study) -> dict[Slot, FrozenTrial]:
        return holders(trials_of(study))

    def rows(self) -> list[Row]:
        """What became of each network, in the order of the slots."""
        held = self._held(self.networks)
        ended = [slot for slot in sorted(held) if outcome(held[slot])]
        return [{"trial": slot} | row_of(held[slot]) for slot in ended]

    def final_trainings(self) -> dict[str, dict[str, Any]]:
        """Sections of the final trainings by name: the reference, then the best networks, seed
        by seed.
        """
        found: dict[str, dict[str, Any]] = {"reference": {"backbone": self.section["reference"]}}
        again = self.retrain
        for row in best_first(self.rows())[: again.best]:
            for seed in again.seeds:
                name = f"trial {row['trial']}, {again.epochs:g} epochs, seed {seed}"
                found[name] = {
                    "backbone": row["network"],
                    "epochs": again.epochs,
                    "seed": seed,
                    "trial": row["trial"],
                }
        return found

    def final_rows(self) -> list[Row]:
        """What became of the reference, then of the networks trained again, with their trial and
        seed.
        """
        held = self._held(self.finals)
        found = []
        for name, part in self.final_trainings().items():
            row = {
                "trial": part.get("trial", "reference"),
                "seed": part.get("seed", self.section["seed"]),
            }
            if name in held:
                row |= row_of(held[name])
            else:
                row |= {"outcome": "not trained", "error": None}
            found.append(row)
        return found


def _open_studies(section: dict[str, Any], space: Any, key: str) -> tuple[Study, Study]:
    """The studies of the networks, and of the reference with the best trained again."""
    size, turns_down = section["trials"] or 1, section["latency_ms"] or section["warm_start"]
    spare = not section["trials"] or bool(turns_down)
    sampler = member_sampler(section["sampler"], space, size, section["seed"], spare)
    pruner = from_optuna(PRUNERS, section["pruner"], "search.pruner")
    storage = connect(settings.STATE / "search" / f"{key}.db")
    networks = open_study(storage, f"search {key}", len(section["objectives"]), sampler, pruner)
    return networks, open_study(storage, f"finals {key}", 1)
