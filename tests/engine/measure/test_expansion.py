"""Stepwise expansion: the axis that pays most each time, double the complexity each time, and
the target at the end.
"""

from collections import Counter
from itertools import count
from math import log2, prod

import pytest

from engine.core.build import build
from engine.measure.expansion import AXES, expand, flops, nearest

POWERS = {
    "depth": 1,
    "width": 2,
    "bottleneck": 1,
    "resolution": 2,
}  # how complexity grows with each


def along(axis: str):
    """An axis of designs that are a factor per axis."""
    return lambda design: (
        design | {axis: design[axis] * (1 + percent / 100)} for percent in count(1)
    )


BASE, ALONG = dict.fromkeys(POWERS, 1.0), {axis: along(axis) for axis in POWERS}


def complexity(design: dict[str, float]) -> float:
    return prod(design[axis] ** power for axis, power in POWERS.items())


def preferring(order: list[str]):
    """A score that is best for designs that were doubled along the first of these axes, then the
    second, and so on.
    """

    def score(design: dict[str, float]) -> float:
        doubled = Counter(
            {axis: round(power * log2(design[axis])) for axis, power in POWERS.items()}
        )
        return 1 - sum((doubled - Counter(order[: doubled.total()])).values())

    return score


@pytest.mark.parametrize(
    "order",
    [
        ["bottleneck", "resolution", "depth", "resolution", "width", "depth"],
        ["width"] * 5,
        ["depth", "width", "bottleneck", "bottleneck", "depth", "depth", "resolution"],
    ],
)
def test_every_step_takes_the_axis_of_the_best_score(order):
    steps = expand(BASE, ALONG, complexity, preferring(order), 2.0 ** len(order), tolerance=0.05)
    assert [step[0].axis for step in steps] == order
    for number, step in enumerate(steps, 1):
        assert {trial.axis for trial in step} == set(POWERS) and step[0].score == max(
            trial.score for trial in step
        )
        assert all(trial.complexity == pytest.approx(2**number, rel=0.05) for trial in step)


@pytest.mark.parametrize("target", [9.0, 11.7, 14.0, 15.0])
def test_last_step_is_repeated_by_less_to_meet_the_target(target):
    order = ["depth", "depth", "resolution", "width"]
    *steps, last = expand(BASE, ALONG, complexity, preferring(order), target, tolerance=0.02)
    assert [step[0].axis for step in steps] == order and [trial.axis for trial in last] == ["width"]
    before, found = steps[-2][0].design, last[0].design
    assert {axis for axis in POWERS if found[axis] != before[axis]} == {"width"}
    assert found["width"] < steps[-1][0].design["width"] and last[0].complexity == pytest.approx(
        target, rel=0.02
    )


def test_a_run_that_was_cut_short_scores_no_design_twice():
    scored, order = {}, ["depth", "width", "resolution", "depth"]

    def score(design: dict[str, float], limit: float = 10) -> float:
        key = tuple(design.items())
        if key not in scored:
            if len(scored) == limit:
                raise KeyboardInterrupt
            scored[key] = preferring(order)(design)
        return scored[key]

    with pytest.raises(KeyboardInterrupt):
        expand(BASE, ALONG, complexity, score, 16)
    steps = expand(BASE, ALONG, complexity, lambda design: score(design, 1000), 16)
    assert steps == expand(BASE, ALONG, complexity, preferring(order), 16) and len(scored) == sum(
        map(len, steps)
    )


def test_axes_that_cannot_go_on_are_left_out_and_none_is_an_error():
    short = ALONG | {
        "depth": lambda design: iter([]),
        "width": lambda design: iter([design | {"width": 1.01}]),
    }
    [step] = expand(BASE, short, complexity, lambda design: 0, 2)
    assert {trial.axis for trial in step} == {"bottleneck", "resolution"}
    coarse = {
        "depth": lambda design: (design | {"depth": design["depth"] * 3**k} for k in count(1))
    }
    with pytest.raises(
        ValueError, match=r"depth: none expands .* complexity of 2, .* larger tolerance"
    ):
        expand(BASE, coarse, complexity, lambda design: 0, 64)
    with pytest.raises(ValueError, match="not expanded to 1 by 2"):
        expand(BASE, ALONG, complexity, lambda design: 0, 1)


SECTION = {
    "name": "anynet",
    "depths": [1, 1, 2, 1],
    "widths": [16, 24, 40, 64],
    "group_widths": [8] * 4,
}
SECTION |= {"bottleneck_ratios": [1] * 4, "stem_width": 16, "stem_stride": 1}
OWN = {
    "depth": {"depths"},
    "width": {"widths", "bottleneck_ratios"},
    "bottleneck": {"bottleneck_ratios"},
}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    "more",
    [
        {"depths": [1, 2, 2, 2], "bottleneck_ratios": [2, 2, 1, 4], "widths": [32, 48, 80, 128]},
        {"bottleneck_ratios": [0.5] * 4, "group_widths": [16, 8, 8, 16], "se_ratio": 0.25},
    ],
)
def test_anynet_doubles_along_each_axis_alone(axis, more):
    base = {"backbone": SECTION | more, "resolution": 32}
    goal = 2 * flops(base)
    found, reached = nearest(AXES[axis](base), flops, goal)
    assert reached == flops(found) == pytest.approx(goal, rel=0.1)
    section = found["backbone"]
    assert {key for key in section if section[key] != base["backbone"][key]} <= OWN.get(axis, set())
    assert (found["resolution"] > 32) == (axis == "resolution")
    net = build("backbones", section)
    assert net.channels == section["widths"]
    inner = [stage[0].transform[0].out_channels for stage in net.stages]
    ratios = [w / b for w, b in zip(section["widths"], section["bottleneck_ratios"], strict=True)]
    assert inner == pytest.approx(ratios, abs=0.01)
