"""Stepwise expansion of networks of clips: the paper's networks from X2D to X3D-L, each by the
reference's settings and at its multiply-adds.
"""

from itertools import islice

import pytest

from engine.core.build import with_defaults
from engine.measure.clip_expansion import clip_axes, multiply_adds
from engine.measure.complexity import measure
from engine.measure.expansion import expand, within
from tests.models.test_backbones import classifier

KINETICS = 400


def design(frames: int = 4, side: int = 160, every: int = 12, **options: float) -> dict:
    section = with_defaults("backbones", {"name": "x3d"} | options)
    return {"backbone": section, "frames": frames, "every": every, "resolution": side}


X2D = design(1, 112, depth=1.0, bottleneck=1.0)
AXES = clip_axes("x3d")


def counted(one: dict) -> int:
    return multiply_adds(one, KINETICS)


def along(*wanted: dict):
    """A score that is best for these designs."""
    return lambda tried: float(tried in wanted)


def test_x3d_xs_is_five_doublings_from_x2d():
    chain = [
        design(1, 112, depth=1.0),
        design(2, 112, depth=1.0),
        design(4, 112, depth=1.0),
        design(4, 160, depth=1.0),
        design(4, 160),
    ]
    target = 2**5 * counted(X2D)
    steps = expand(X2D, AXES, counted, along(*chain), target, tolerance=0.13, pick=within)
    assert counted(X2D) == 20_662_304
    assert [(step[0].design, step[0].complexity) for step in steps] == [
        (chain[0], 40_996_040),
        (chain[1], 80_209_520),
        (chain[2], 158_636_480),
        (chain[3], 305_022_560),
        (chain[4], 605_256_512),
    ]
    axes = [step[0].axis for step in steps]
    assert axes == ["bottleneck", "temporal", "temporal", "spatial", "depth"]
    assert {trial.axis for trial in steps[0]} == set(AXES)


def test_s_is_a_contraction_and_l_four_doublings_more():
    chain = [design(8), design(16), design(16, 224), design(16, 312), design(16, 312, depth=5.0)]
    target = 18_367_710_176
    steps = expand(design(), AXES, counted, along(*chain), target, tolerance=0.03, pick=within)
    assert [step[0].complexity for step in steps[1:]] == [
        2_415_437_312,
        4_732_468_736,
        9_451_559_360,
        18_367_710_176,
    ]
    assert [step[0].design for step in steps] == chain
    # X3D-S: 16 frames are too many for two thousand million
    longer = {"temporal": AXES["temporal"]}
    *_, [last] = expand(design(), longer, counted, lambda _: 0.0, 2.0e9, pick=within)
    assert (last.design, last.complexity) == (design(13), 1_962_892_112)


@pytest.mark.parametrize(
    ("grown", "factor"),
    [
        (X2D | {"frames": 2}, 1.940),
        (X2D | {"resolution": 160}, 1.884),
        (design(1, 112, depth=2.2, bottleneck=1.0), 1.849),
        (design(1, 112, depth=1.0, bottleneck=2.25), 1.984),
        (design(1, 112, depth=1.0, bottleneck=1.0, width=2.8), 1.754),
        (design(1, 112, depth=1.0, bottleneck=1.0, width=3.0), 2.136),
    ],
)
def test_costs_of_one_axis_alone(grown, factor):
    assert counted(grown) / counted(X2D) == pytest.approx(factor, abs=5e-4)


@pytest.mark.parametrize(
    ("frames", "side", "options"),
    [
        (4, 160, {}),
        (3, 45, {"width": 0.7, "depth": 1.3, "depths": [2, 1, 1], "bottleneck": 1.7}),
        (1, 33, {"stem_stride": 1, "se_ratio": 0.0, "depths": [1, 2], "head_width": 64}),
        (2, 64, {"stem_width": 20, "se_ratio": 0.25, "depths": [3], "depth": 1.0}),
    ],
)
def test_closed_form_is_what_the_network_counts(frames, side, options):
    network = classifier({"name": "x3d"} | options, 10)
    found = measure(network, (3, frames, side, side), "torch")["flops"] // 2
    assert multiply_adds(design(frames, side, **options), 10) == found


def test_other_networks_of_clips_have_the_axes_of_time_and_space():
    section = {"name": "videoresnet", "depths": (1, 1), "width": 8, "stem_width": 8}
    network = with_defaults("backbones", section)
    small = design(4, 32) | {"backbone": network}
    axes = clip_axes("videoresnet", most=36)
    assert set(axes) == {"fast", "temporal", "spatial"}
    assert multiply_adds(small, 7) == measure(classifier(section, 7), (3, 4, 32, 32))["flops"] - 7
    assert [each["resolution"] for each in axes["spatial"](small)] == [34, 36]


def test_a_faster_clip_lasts_as_long_and_a_longer_one_keeps_its_rate():
    start = design(4, every=12)
    faster = {(each["frames"], each["every"]) for each in AXES["fast"](start)}
    assert {(6, 8), (8, 6), (16, 3), (48, 1)} <= faster and max(faster) == (48, 1)
    assert not list(AXES["fast"](design(4, every=1)))
    longer = islice(AXES["temporal"](start), 3)
    assert [(each["frames"], each["every"]) for each in longer] == [(5, 12), (6, 12), (7, 12)]
