"""What each rule of scaling makes of a found network, and how long that runs: what
flows/tools/scale.py prints.

Dollár, Singh, Girshick 2021, "Fast and Accurate Model Scaling", arXiv 2103.06877. Shows what each
rule makes of a backbone's section, and how long that runs on this device beside what linear
functions of activations and flops predict: the paper finds activations to tell on GPUs, on a CPU
flops do (benchmarks/results/runtime.md).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from engine.core.build import build, with_defaults
from engine.core.device import device
from engine.measure.complexity import measure
from engine.measure.profile import device_name
from engine.measure.timing import CLOCKS, runtimes
from flows.running import settings
from flows.running.paramsfile import parsed
from models.blocks.design.scaling import RULES, scaled

FAST = "d1_w8_g8_r1"  # dWr, the paper's own: mostly wider
SMALL = (0.5, 1.0, 2.0)  # factors of the family's members that the prediction is fitted on


@dataclass(frozen=True)
class Version:
    """A network scaled by a rule, its resolution and its complexity without a classifier."""

    rule: str
    section: dict[str, Any]
    resolution: int
    cost: dict[str, int]


def scaled_version(section: dict[str, Any], resolution: int, factor: float, rule: str) -> Version:
    """One scaled version of a complete section."""
    larger, pixels = scaled(section, resolution, factor, rule)
    with torch.device("meta"):
        backbone = build("backbones", larger)
    return Version(rule, larger, pixels, measure(backbone, (3, pixels, pixels)))


def family(section: dict[str, Any], resolution: int) -> list[Version]:
    """Different small members of the network's family: deeper, wider, of more pixels, and
    compound.
    """
    members = [
        scaled_version(section, resolution, factor, rule)
        for rule in ("d", "w", "r", FAST)
        for factor in SMALL
    ]
    return list({(str(member.section), member.resolution): member for member in members}.values())


def measure_runtimes(
    versions: list[Version], where: torch.device, batch: int, rounds: int = 5
) -> list[float]:
    """Milliseconds of a forward pass of each, side by side; nan where memory runs out."""
    networks = [(build("backbones", one.section), one.resolution) for one in versions]
    return [1e3 * seconds for seconds in runtimes(networks, where, batch, rounds)]


def predictor(members: list[Version], times: list[float], measure: str = "acts") -> np.poly1d:
    """Runtime as a linear function of activations, or of another measure, by least squares of
    relative errors.
    """
    fitted = [
        (one.cost[measure], taken)
        for one, taken in zip(members, times, strict=True)
        if taken == taken
    ]
    complexity, taken = np.array(fitted).T
    return np.poly1d(np.polyfit(complexity, taken, 1, w=1 / taken))


def _row(name: str, one: Version, predicted: list[float], taken: float) -> str:
    """A line of the table."""
    shape = [",".join(map(str, one.section[key])) for key in ("depths", "widths")]
    groups = ",".join(map(str, dict.fromkeys(one.section.get("group_widths", ["-"]))))
    costs = [
        f"{one.cost['params'] / 1e6:.2f}",
        f"{one.cost['flops'] / 1e6:.1f}",
        f"{one.cost['acts'] / 1e6:.2f}",
    ]
    runtime = f"{taken:.2f}" if taken == taken else "out of memory"
    cells = [
        name,
        str(one.resolution),
        *shape,
        groups,
        *costs,
        *(f"{milliseconds:.2f}" for milliseconds in predicted),
        runtime,
    ]
    return "| " + " | ".join(cells) + " |"


def _table(
    section: dict[str, Any], resolution: int, factor: float, rules: list[str], batch: int
) -> list[str]:
    """The network and its scaled versions, with predicted and measured runtime."""
    versions = [
        scaled_version(section, resolution, 1, FAST),
        *(scaled_version(section, resolution, factor, rule) for rule in rules),
    ]
    where, members = device(), family(section, resolution)
    times = measure_runtimes([*versions, *members], where, batch)
    fits = {
        measure: predictor(members, times[len(versions) :], measure)
        for measure in ("acts", "flops")
    }
    names = ["as it is", *(f"{rule} x {factor:g}" for rule in rules)]
    columns = (
        "rule",
        "px",
        "depths",
        "widths",
        "g",
        "params M",
        "flops M",
        "acts M",
        "ms by acts",
        "by flops",
        "measured",
    )
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for name, one, taken in zip(names, versions, times, strict=False):
        lines.append(
            _row(name, one, [fit(one.cost[measure]) for measure, fit in fits.items()], taken)
        )
    told = [
        f"{fit[0]:.3g} ms + {1e6 * fit[1]:.3g} ms per million {measure}"
        for measure, fit in fits.items()
    ]
    return [
        *lines,
        "",
        f"Forward passes of {batch} images without a classifier on {device_name(where)} by "
        f"{CLOCKS[where.type]}.",
        f"Predicted: {', or '.join(told)} of an image, fitted on {len(members)} members of the "
        f"family, the network times {SMALL[0]:g} to {SMALL[-1]:g}.",
    ]


def read_backbone(path: Path) -> dict[str, Any]:
    """The complete section of a backbone in a file; ValueError with cause and fix."""
    if not path.is_file():
        raise ValueError(
            f"no file {path}: name one with a backbone's section, such as out/search/winner.yaml"
        )
    return with_defaults("backbones", parsed(path), str(path))


def scale(
    file: Path, factor: float, rule: str, out: Path | None, resolution: int | None, batch: int
) -> None:
    """Print the table of a file's network; write the section that a rule makes of it.

    ValueError with cause and fix.
    """
    section = read_backbone(file)
    resolution = settings.image_size() if resolution is None else resolution
    if min(resolution, batch) < 1:
        raise ValueError("--resolution and --batch: give numbers from 1 on")
    chosen = scaled_version(section, resolution, factor, rule)
    rules = list(dict.fromkeys([*RULES, rule]))
    print("\n".join(_table(section, resolution, factor, rules, batch)))
    if out:
        note = f"# {file} times {factor:g} by {rule}, for images of {chosen.resolution} pixels\n"
        out.write_text(
            note + yaml.safe_dump(chosen.section, sort_keys=False, default_flow_style=None)
        )
        print(f"wrote {out} ({rule}), for images of {chosen.resolution} pixels")
