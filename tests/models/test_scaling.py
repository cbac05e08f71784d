"""Scaling of networks: the authors' golden values, the identity d * w^2 * r^2 = s, and how
activations grow.
"""

from itertools import product

import numpy as np
import pytest

from engine.core.build import with_defaults
from engine.measure.complexity import measure
from models.blocks.design.scaling import RULES, factors, scaled, scaled_stages
from tests.models.test_backbones import classifier

X_400MF = {"name": "regnet", "depth": 22, "w_0": 24, "w_a": 24.48, "w_m": 2.54, "group_width": 16}
Y_4GF = {
    "name": "regnet",
    "depth": 22,
    "w_0": 96,
    "w_a": 31.41,
    "w_m": 2.24,
    "group_width": 64,
    "se_ratio": 0.25,
}
DWR = "d1_w8_g8_r1"
# section, factor, rule: depths, widths, group width, resolution, flops, params, acts by the
# authors' code (pycls)
GOLDEN = [
    (
        Y_4GF,
        4,
        DWR,
        [2, 7, 14, 2],
        [224, 336, 896, 1904],
        112,
        240,
        15_608_249_240,
        68_144_472,
        26_542_408,
    ),
    (
        X_400MF,
        2,
        DWR,
        [1, 2, 8, 13],
        [48, 96, 216, 504],
        24,
        232,
        950_113_192,
        9_750_776,
        5_088_696,
    ),
    (
        X_400MF,
        4,
        DWR,
        [1, 2, 8, 14],
        [64, 128, 288, 672],
        32,
        240,
        1_758_919_912,
        18_185_096,
        6_998_536,
    ),
]


def scaled_from(section: dict, factor: float, rule: str, resolution: int = 224) -> tuple[dict, int]:
    return scaled(with_defaults("backbones", section), resolution, factor, rule)


def complexity(section: dict, resolution: int) -> dict[str, int]:
    return measure(classifier(section), (3, resolution, resolution))


@pytest.mark.parametrize(
    ("section", "factor", "rule", "depths", "widths", "group", "side", *"fpa"), GOLDEN
)
def test_scaled_regnets_are_the_authors(
    section, factor, rule, depths, widths, group, side, f, p, a
):
    found, resolution = scaled_from(section, factor, rule)
    assert (found["depths"], found["widths"], resolution) == (depths, widths, side)
    assert found["group_widths"] == [group] * 4
    assert complexity(found, resolution) == {"params": p, "flops": f, "acts": a}


def test_scaled_efficientnet_is_the_authors():
    found, resolution = scaled_from({"name": "efficientnet"}, 4, "d1_w8_g0_r1")
    assert complexity(found, resolution) == {
        "params": 15_824_374,
        "flops": 1_381_124_070,
        "acts": 13_328_046,
    }


@pytest.mark.parametrize(
    "section", [X_400MF, Y_4GF, {"name": "efficientnet", "width": 1.2, "depth": 1.4}]
)
def test_a_factor_of_one_is_the_same_network(section):
    assert complexity(*scaled_from(section, 1, "dwr")) == complexity(section, 224)


@pytest.mark.parametrize(
    ("rule", "s"), [*product([*RULES, "d1_w2_g2_r0", "w1.5_r1"], [0.3, 1, 4, 100])]
)
def test_factors_multiply_to_the_scale(rule, s):
    d, w, g, r = factors(rule, s)
    assert d * w**2 * r**2 == pytest.approx(s)
    assert g == (w if "g" in rule else 1)


def test_factors_are_those_of_the_paper():
    assert factors(DWR, 2) == pytest.approx((2**0.1, 2**0.4, 2**0.4, 2**0.05))
    assert factors("dwr", 8) == pytest.approx((2, 2**0.5, 1, 2**0.5))
    assert factors("w", 4) == pytest.approx((1, 2, 1, 1))


@pytest.mark.parametrize(
    "rule", ["", "x", "dd", "d1_d2", "g", "d0_w0", "d1-w8", "dW", "d_w2", "d1_w8_"]
)
def test_unknown_rules_are_refused(rule):
    with pytest.raises(ValueError, match=r"unknown scaling rule .*choose d, w, r, dw"):
        factors(rule, 2)


def test_networks_without_stages_are_refused():
    for section in ({"name": "resnext"}, {"name": "anynet", "depths": [], "widths": []}):
        with pytest.raises(
            ValueError, match="no stages to scale: give a regnet, anynet or efficientnet"
        ):
            scaled(section, 224, 2, DWR)
    with pytest.raises(ValueError, match="scaling factor 0: give a positive number"):
        factors("w", 0)


@pytest.mark.parametrize("b", [1, 4, 0.25])
@pytest.mark.parametrize(("rule", "factor"), [*product(RULES, [0.05, 0.5, 3, 50])])
def test_roundings(b, rule, factor):
    """Widths are what groups and bottlenecks allow nearest to a multiple of 8, groups 1, 2, 4 or
    multiples of 8.
    """
    asked = [8, 48, 120, 400]
    depths, widths, groups, side = scaled_stages(
        [1, 2, 5, 9], asked, [b] * 4, [1, 2, 8, 40], 40, factor, rule
    )
    d, w, _, r = factors(rule, factor)
    assert all(
        depth >= 1 and abs(depth - before * d) <= 1
        for depth, before in zip(depths, [1, 2, 5, 9], strict=True)
    )
    assert side % 4 == 0 and side >= 4 and abs(side - 40 * r) <= 4
    for width, group, before in zip(widths, groups, asked, strict=True):
        assert (width / b) % group == 0
        assert abs(width - before * w) <= max(8, 4 + group * b)


EXPONENTS = {
    "d": 1,
    "w": 0.5,
    "r": 1,
    "dw": 0.75,
    "dr": 1,
    "wr": 0.75,
    "dwr": 5 / 6,
    DWR: 0.6,
}  # e_d + e_w / 2 + e_r


@pytest.mark.parametrize("rule", EXPONENTS)
def test_activations_grow_as_the_paper_says(rule):
    """The slope of log acts over log s on a large network.

    The blocks that halve the map keep it from the limit.
    """
    large = {
        "depths": [6, 10, 16, 8],
        "widths": [256, 512, 1024, 2048],
        "bottleneck_ratios": [1] * 4,
    }
    large = {"name": "anynet", "group_widths": [64] * 4, **large}
    counts = [complexity(*scaled_from(large, s, rule)) for s in (1, 3, 9)]
    slopes = {}
    for kind in counts[0]:
        found = [count[kind] for count in counts]
        slopes[kind] = np.polyfit(np.log([1, 3, 9]), np.log(found), 1)[0]
    assert slopes["acts"] == pytest.approx(EXPONENTS[rule], abs=0.07)
    if (
        "w" not in rule or "g" in rule
    ):  # where groups do not widen with the network, flops fall short
        assert slopes["flops"] == pytest.approx(1, abs=0.025)
    if rule == DWR:
        assert slopes["params"] == pytest.approx(0.9, abs=0.025)
