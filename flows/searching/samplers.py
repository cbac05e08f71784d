"""Optuna's samplers, held to a design space and its bands: of what they suggest, the nearest
member not yet tried.

So none of them has to find out what a band of costs leaves of a space, and no network is suggested
twice.
"""

import contextlib
import json
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial

from engine.core.digest import digest
from flows.searching.trials import read_trials

POOL = 2048  # members that a sampler which learns chooses from
SAMPLERS = (
    "RandomSampler",
    "TPESampler",
    "GPSampler",
    "NSGAIISampler",
    "NSGAIIISampler",
    "QMCSampler",
)
GENETIC = (optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler)
PRUNERS = (
    "NopPruner",
    "MedianPruner",
    "PercentilePruner",
    "SuccessiveHalvingPruner",
    "HyperbandPruner",
    "ThresholdPruner",
)
Values = dict[str, Any]  # of a space's axes


def from_optuna(known: tuple[str, ...], section: dict[str, Any], where: str, **given: Any) -> Any:
    """{name: TPESampler, ...} is Optuna's class of that name, called with the rest.

    ValueError lists the names.
    """
    name = section.get("name") if isinstance(section, dict) else None
    if name not in known:
        raise ValueError(
            f"{where}: {section!r} names none of Optuna's: choose {{name: ...}} of "
            f"{', '.join(known)}"
        )
    settings = {key: value for key, value in section.items() if key != "name"}
    package = optuna.samplers if known is SAMPLERS else optuna.pruners
    try:
        return getattr(package, name)(**settings, **given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} does not take that: {error}") from None


def draw_pool(space: Any, size: int, seed: int, enough: int) -> list[Values]:
    """Up to `size` members of the space that are different networks, in the order of their
    draws; ValueError where they are less than `enough`.
    """
    for times in (1, 2, 4, 8):  # other values may be the same network
        drawn = space.draw(times * size, torch.Generator().manual_seed(seed))
        found: dict[str, Values] = {}
        for values in drawn:
            network = space.as_anynet(space.section(values))
            found.setdefault(json.dumps(network), values)
        if len(found) >= enough:
            return list(found.values())[:size]
    raise ValueError(
        f"search.space: {len(found)} different networks in {len(drawn)} draws: widen it, or search "
        "fewer"
    )


def _draw_large_pool(space: Any, enough: int, seed: int) -> list[Values]:
    """As many members as a sampler that learns can choose from; of a thin band as many as there
    about are.
    """
    size = POOL
    while size > enough:
        with contextlib.suppress(ValueError):
            return draw_pool(space, size, seed, enough)
        size //= 2
    return draw_pool(space, enough, seed, enough)


class MemberSampler(BaseSampler):
    """A sampler of members of a pool.

    `make(seed)` makes the one that suggests, anew for each slot of the plan.

    One that suggests nothing, as the random one or any that still lacks trials, gets the slot's own
    member: so the networks of a random search do not depend on how many workers there are, or on
    who was killed.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], space: Any, members: list[Values], seed: int
    ) -> None:
        self.make, self.seed, self.inner = make, seed, make(seed)
        first = FixedTrial(members[0])
        space.sample(first)
        self.axes: dict[str, BaseDistribution] = first.distributions
        # a column of one value is no axis of Optuna's
        self.members = list(map(self._on_axes, members))
        self.places = np.array([self._place(values) for values in self.members])
        self.known = {self._key(values): i for i, values in enumerate(self.members)}

    def _on_axes(self, values: Values) -> Values:
        return {name: values[name] for name in self.axes}

    def _whole(self, trial: FrozenTrial) -> bool:
        """Whether a trial has all its values: Optuna stores them one by one."""
        return self.axes.keys() <= trial.params.keys()

    def _tried(self, trials: list[FrozenTrial]) -> set[int | None]:
        return {self.known.get(self._key(one.params)) for one in trials if self._whole(one)}

    def left(self, trials: list[FrozenTrial]) -> int:
        """How many members no trial has."""
        return len(self.members) - len(self._tried(trials) - {None})

    def drawn(self, trials: list[FrozenTrial]) -> set[int]:
        """Slots that were given a member, also by attempts that were cut short: it stays theirs."""
        return {one.user_attrs["slot"] for one in trials if self._keeps(one)}

    def _keeps(self, trial: FrozenTrial) -> bool:
        """Whether a trial's slot keeps its network: two workers that drew the same one draw
        anew.
        """
        known = trial.user_attrs
        return "slot" in known and "duplicate" not in known and self._whole(trial)

    def _key(self, values: Values) -> tuple[float, ...]:
        """Values as they compare: Optuna keeps whole numbers of a float axis as floats."""
        return tuple(float(values[name]) for name in self.axes)

    def _place(self, values: Values) -> list[float]:
        """Where in the unit cube; choices are corners of their own."""
        place: list[float] = []
        for name, axis in self.axes.items():
            if isinstance(axis, CategoricalDistribution):
                # two different choices lie 1 apart, as the two ends of a number's axis do
                place += [float(values[name] == choice) / 2**0.5 for choice in axis.choices]
            else:
                ends = (axis.low, values[name], axis.high)
                low, value, high = map(log, ends) if axis.log else ends
                place.append((value - low) / (high - low) if high > low else 0.0)
        return place

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.axes

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner = self.make(int(digest(self.seed, trial.user_attrs.get("slot")), 16) % 2**32)
        self.inner.infer_relative_search_space(study, trial)  # some prepare by it
        self.inner.before_trial(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, axes: dict[str, BaseDistribution]
    ) -> Values:
        slot = trial.user_attrs.get("slot", 0)
        others = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        others = [one for one in others if self._whole(one)]
        mine = [one for one in others if self._keeps(one) and one.user_attrs["slot"] == slot]
        if mine:  # an attempt that was cut short goes on with its network
            if isinstance(self.inner, GENETIC):
                # they note with the trial which generation it is of
                self.inner.sample_relative(study, trial, axes)
            return mine[0].params
        wanted = self.inner.sample_relative(study, trial, axes)
        return self._untried(slot, wanted, self._tried(others))

    def _untried(self, slot: int, wanted: Values, tried: set[int | None]) -> Values:
        """The member not yet tried that is nearest to what is wanted; the slot's own where
        nothing is.
        """
        if not wanted and slot < len(self.members) and slot not in tried:
            return self.members[slot]
        free = np.array(sorted(set(range(len(self.members))) - tried), dtype=int)
        if not len(free):
            raise ValueError(
                f"search: all {len(self.members)} networks of the pool were tried: widen the band"
            )
        if not wanted:
            return self.members[free[0]]
        # an axis that the sampler leaves open has the same value for all that are compared
        place = self._place(self.members[0] | wanted)
        distances = np.square(self.places[free] - place).sum(1)
        return self.members[free[distances.argmin()]]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, axis: BaseDistribution
    ) -> Any:
        raise AssertionError(f"{name} is no axis of the space that the pool was drawn from")

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        self.inner.after_trial(study, trial, state, values)


def order_matters(section: dict[str, Any]) -> bool:
    """Whether what a search trains depends on the order in which its networks end, or on what
    runs beside them.

    So it does where a sampler learns, networks are pruned or timed, or images are counted.
    """
    learns = section["sampler"].get("name") != "RandomSampler"
    pruned = section["pruner"].get("name") != "NopPruner"
    timed = section["latency_ms"] or "latency_ms" in section["objectives"]
    return bool(learns or pruned or timed or section["images"])


def member_sampler(
    section: dict[str, Any], space: Any, size: int, seed: int, spare: bool = False
) -> MemberSampler:
    """The sampler {name: RandomSampler | TPESampler | ...} over a space; `size`: networks that
    it will be asked for.

    One that learns chooses from many more; so does, with `spare`, a search that may turn networks
    down.
    """

    def make(seed: int) -> BaseSampler:
        return from_optuna(SAMPLERS, section, "search.sampler", seed=seed)

    make(seed)  # a name or setting that is wrong is told before the pool, which takes a while
    if spare or section["name"] != "RandomSampler":
        members = _draw_large_pool(space, size, seed)
    else:
        members = draw_pool(space, size, seed, size)
    return MemberSampler(make, space, members, seed)


def add_earlier(study: Study, folders: list[str], space: Any, objectives: list[str]) -> None:
    """Give a study the finished networks of earlier searches (folders with trials.jsonl) that
    are members of the space.

    They fill no slot, and are not trained again; samplers that learn from all trials, as TPE, begin
    where those ended.
    """
    known = {trial.user_attrs.get("warm") for trial in study.get_trials(deepcopy=False)}
    for folder in folders:
        for row in _usable_rows(folder, space, objectives):
            name = f"{folder}, trial {row['trial']}"
            if name in known:
                continue
            trial = FixedTrial(space.values(row["network"]))
            space.sample(trial)
            study.add_trial(
                optuna.create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    values=[row[objective] for objective in objectives],
                    user_attrs={"warm": name},
                )
            )


def _usable_rows(folder: str, space: Any, objectives: list[str]) -> list[dict[str, Any]]:
    """Finished networks of an earlier search that are members of the space and have all of the
    objectives; ValueError where there are none.
    """
    complete = read_trials(Path(folder)).complete
    members = [row for row in complete if space.contains(row["network"])]
    usable = [row for row in members if row.keys() >= set(objectives)]
    if not usable:
        raise ValueError(
            f"search.warm_start: no network of {folder} is a member of this space and its bands "
            f"and has {', '.join(objectives)}"
        )
    return usable
