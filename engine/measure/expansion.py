"""Stepwise expansion: a small network grown along one axis at a time, which pays most.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730, section 3.2: coordinate descent in steps that double the complexity, then a contraction
of the last step to the target. Of its six axes the two of time, frame rate and duration, have no
meaning for images; the other four are those of `AXES`. All six are in
engine/measure/clip_expansion.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import ceil, log
from typing import Any

from engine.core.build import build
from engine.measure.complexity import measure
from models.blocks.layers.anynet import fit_groups

Axis = Callable[[Any], Iterator[Any]]  # designs expanded along the axis, ever more complex
Complexity = Callable[[Any], float]
Reached = tuple[Any, float] | None  # a design and its complexity


@dataclass(frozen=True)
class Candidate:
    """A design tried in a step, and the axis that it was expanded along."""

    axis: str
    design: Any
    complexity: float
    score: float


def expand(
    base: Any,
    axes: Mapping[str, Axis],
    complexity: Complexity,
    score: Callable[[Any], float],
    target: float,
    factor: float = 2.0,
    tolerance: float = 0.1,
    pick: Callable[[Iterator[Any], Complexity, float], Reached] | None = None,
) -> list[list[Candidate]]:
    """The candidates of every step, the best first.

    That of the last step is the design of about the target's complexity.

    A step tries each axis that multiplies the complexity by `factor`, and goes on from the best
    score, of equal ones the axis named first; when it has gone beyond the target, a last step of
    one trial repeats its axis by less. `tolerance`: how far off, as a share, both may be. `pick`:
    which design of an axis a step takes, `nearest` to its goal or the last one `within` it. Nothing
    is kept here: a `score` that remembers its designs makes a run that was cut short go on where it
    was. ValueError where no axis gets there.
    """
    if not 0 < complexity(base) < target or factor <= 1:
        raise ValueError(
            f"a design of complexity {complexity(base):g} is not expanded to {target:g} "
            f"by {factor:g}"
        )

    rest = {"complexity": complexity, "score": score, "tolerance": tolerance}
    expanded = partial(_candidates, pick=pick or nearest, **rest)
    steps, before, now = [], base, complexity(base)
    while now < target * (1 - tolerance):
        if steps:
            before = steps[-1][0].design
        steps.append(expanded(before, axes, factor * now))
        now = steps[-1][0].complexity
    if now > target * (1 + tolerance):
        last = steps[-1][0].axis
        steps.append(expanded(before, {last: axes[last]}, target))
    return steps


def _candidates(
    design: Any,
    axes: Mapping[str, Axis],
    goal: float,
    complexity: Complexity,
    score: Callable[[Any], float],
    tolerance: float,
    pick: Callable[[Iterator[Any], Complexity, float], Reached],
) -> list[Candidate]:
    """The design expanded along each axis to a complexity of about the goal, the best first."""
    found = {name: pick(axis(design), complexity, goal) for name, axis in axes.items()}
    candidates = []
    for name, reached in found.items():
        if reached and abs(reached[1] / goal - 1) <= tolerance:
            candidates.append(Candidate(name, *reached, score(reached[0])))
    if not candidates:
        raise ValueError(
            f"{', '.join(axes)}: none expands {design} to a complexity of {goal:g}, give or take "
            f"{100 * tolerance:g} %: allow a larger tolerance, or start from a larger design"
        )
    return sorted(candidates, key=lambda candidate: -candidate.score)


def nearest(designs: Iterator[Any], complexity: Complexity, goal: float) -> Reached:
    """(design, its complexity) nearest to the goal of ever more complex designs; None of none."""
    below = None
    for design in designs:
        now = complexity(design)
        if now >= goal:
            above = design, now
            return above if below is None or now / goal <= goal / below[1] else below
        below = design, now
    return below


def within(designs: Iterator[Any], complexity: Complexity, goal: float) -> Reached:
    """The last of ever more complex designs that does not go beyond the goal; None of none."""
    reached = None
    for design in designs:
        now = complexity(design)
        if now > goal:
            break
        reached = design, now
    return reached


# ---- designs {"backbone": a section of kind anynet, "resolution": pixels}


def flops(design: dict[str, Any]) -> int:
    """Multiply-adds of the backbone."""
    side = design["resolution"]
    return measure(build("backbones", design["backbone"]), (3, side, side))["flops"]


def depth(design: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One block more at a time, where a stage lags most behind a common factor."""
    depths = list(design["backbone"]["depths"])
    first = tuple(depths)
    while True:
        # Webster's apportionment: of seats, in proportion to votes
        stage = max(range(len(first)), key=lambda i: first[i] / (2 * depths[i] + 1))
        depths[stage] += 1
        yield design | {"backbone": design["backbone"] | {"depths": list(depths)}}


def width(design: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All widths, inside and outside of the bottlenecks, by a common factor."""
    # rounding to eights must not make a stage narrower than it was
    return _widened(design, lambda w, factor: max(w, 8 * round(w * factor / 8)))


def bottleneck(design: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The widths inside of the bottlenecks by a common factor: smaller bottleneck ratios."""
    return _widened(design, lambda w, factor: w)


def resolution(design: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Two pixels more at a time."""
    return (design | {"resolution": side} for side in count(design["resolution"] + 2, 2))


AXES: dict[str, Axis] = {
    "depth": depth,
    "width": width,
    "bottleneck": bottleneck,
    "resolution": resolution,
}


def _widened(
    design: dict[str, Any], outer: Callable[[int, float], int]
) -> Iterator[dict[str, Any]]:
    """Widths inside of the bottlenecks by a growing factor, those outside by what `outer` makes."""
    section = last = design["backbone"]
    b = section["bottleneck_ratios"]
    widths, groups = fit_groups(section["widths"], b, section["group_widths"])
    inner = [round(w / ratio) for w, ratio in zip(widths, b, strict=True)]
    for percent in count(101):
        scaled = [outer(w, percent / 100) for w in widths]
        wanted = [v * percent / 100 for v in inner]
        ratios = [_ratio(*stage) for stage in zip(scaled, wanted, groups, strict=True)]
        grown = section | {"widths": scaled, "bottleneck_ratios": ratios, "group_widths": groups}
        if grown != last:
            last = grown
            yield design | {"backbone": grown}


def _ratio(w: int, v: float, g: int) -> float:
    """The bottleneck ratio of width w with the multiple of g nearest to v channels inside.

    AnyNet builds that width and that bottleneck with it.
    """
    for inner in sorted(range(g, ceil(2 * v) + g + 1, g), key=lambda each: abs(log(each / v))):
        # never too small for `w`, which is cut to a whole number
        ratio = ceil(1e6 * w / inner) / 1e6
        try:
            if fit_groups([w], [ratio], [g]) == ([w], [g]):
                return ratio
        except ValueError:
            pass
    raise ValueError(f"no bottleneck of about {v:g} channels fits a width of {w} and groups of {g}")
