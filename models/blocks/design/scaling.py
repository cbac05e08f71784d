"""Scaling of a network's depth, width, group width and resolution so that its flops grow `s` times.

Dollár, Singh, Girshick 2021, "Fast and Accurate Model Scaling", arXiv 2103.06877, sections 3 and 4.
d * w^2 * r^2 = s. A rule names what grows: `dw` depth and width alike, `d1_w8_g8_r1` by these
shares of log(s), which is dWr, the paper's fast compound scaling (alpha = 0.8): activations, and
with them runtime, then grow as s^0.6 only. Where a rule does not name g, groups keep their width,
as in the authors' code. Roundings are the authors', half to even.
"""

import re
from collections.abc import Sequence
from math import ceil, inf
from typing import Any

from models.blocks.layers.anynet import fit_groups, regnet_stages

__all__ = ["RULES", "factors", "near_eights", "scaled", "scaled_stages"]

RULES = ("d", "w", "r", "dw", "dr", "wr", "dwr", "d1_w8_g8_r1")


def factors(rule: str, s: float) -> tuple[float, float, float, float]:
    """(d, w, g, r): factors on a network's depth, width, group width and resolution."""
    if not 0 < s < inf:
        raise ValueError(f"scaling factor {s}: give a positive number, 4 for four times the flops")
    one = r"[dwgr]\d+(\.\d+)?"
    if re.fullmatch("[dwgr]+", rule):
        shares = dict.fromkeys(rule, 1.0)
    elif re.fullmatch(f"{one}(_{one})*", rule):
        shares = {part[0]: float(part[1:]) for part in rule.split("_")}
    else:
        shares = {}
    d, w, g, r = (shares.get(letter, 0.0) for letter in "dwgr")
    if len(shares) != len(re.findall("[dwgr]", rule)) or not d + w + r:
        raise ValueError(
            f"unknown scaling rule {rule!r}: choose {', '.join(RULES)}, or other shares of d, w, g "
            "and r"
        )
    total = d + w + r
    # flops grow with depth, but with the squares of width and resolution
    return s ** (d / total), s ** (w / total / 2), s ** (g / total / 2), s ** (r / total / 2)


def near_eights(channels: float) -> int:
    """The nearest multiple of 8 that is not less than 90 % of it.

    EfficientNet's own rounding (arXiv 1905.11946).
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _depths(depths: Sequence[int], d: float) -> list[int]:
    return [max(1, round(depth * d)) for depth in depths]


def _eights(widths: Sequence[int], w: float) -> list[int]:
    return [8 * max(1, round(width * w / 8)) for width in widths]


def _group_width(width: float) -> int:
    g = max(1, round(width))
    if g <= 2:
        return g
    return 4 if g <= 5 else 8 * round(g / 8)


def _resolution(pixels: int, r: float) -> int:
    return 4 * max(1, round(pixels * r / 4))


def scaled_stages(
    depths: Sequence[int],
    widths: Sequence[int],
    ratios: Sequence[float],
    group_widths: Sequence[int],
    resolution: int,
    factor: float,
    rule: str,
) -> tuple[list[int], list[int], list[int], int]:
    """Depths, widths, group widths and resolution of an AnyNet times `factor`.

    Its bottleneck ratios (b) stay.
    """
    d, w, g, r = factors(rule, factor)
    groups = [_group_width(group * g) for group in group_widths]
    fitted, groups = fit_groups(_eights(widths, w), ratios, groups)
    return _depths(depths, d), fitted, groups, _resolution(resolution, r)


def _explicit(section: dict[str, Any]) -> dict[str, Any]:
    """A section that lists its stages.

    A regnet's as that of the anynet it is, an efficientnet's multiplied out.
    """
    listed = dict(section)
    if section["name"] == "regnet":
        keys = ("depth", "w_0", "w_a", "w_m", "bottleneck_ratio", "group_width")
        stages = regnet_stages(*(listed.pop(key) for key in keys))
        return listed | {"name": "anynet"} | stages
    if section["name"] == "efficientnet":
        width, depth = section["width"], section["depth"]
        listed |= {key: near_eights(width * section[key]) for key in ("stem_width", "head_width")}
        listed["widths"] = [near_eights(width * w) for w in section["widths"]]
        listed["depths"] = [ceil(depth * d) for d in section["depths"]]
        return listed | {"width": 1.0, "depth": 1.0}
    if section["name"] != "anynet" or not section["depths"]:
        raise ValueError(
            f"{section['name']} has no stages to scale: give a regnet, anynet or efficientnet"
        )
    return listed


def scaled(
    section: dict[str, Any], resolution: int, factor: float, rule: str
) -> tuple[dict[str, Any], int]:
    """The section of a scaled backbone, and its resolution.

    A regnet becomes an anynet, whose stem stays as it is.

    section: of a regnet, anynet or efficientnet, with every option, also those that have defaults.
    """
    section = _explicit(section)
    if section["name"] == "anynet":
        keys = ("depths", "widths", "bottleneck_ratios", "group_widths")
        depths, widths, groups, pixels = scaled_stages(
            *(section[key] for key in keys), resolution, factor, rule
        )
        return section | {"depths": depths, "widths": widths, "group_widths": groups}, pixels
    d, w, _, r = factors(rule, factor)  # its convolutions are depthwise: no groups to widen
    stem, *widths, head = _eights(
        [section["stem_width"], *section["widths"], section["head_width"]], w
    )
    changed = {
        "depths": _depths(section["depths"], d),
        "widths": widths,
        "stem_width": stem,
        "head_width": head,
    }
    return section | changed, _resolution(resolution, r)
