"""What tells how long a network runs: flops, parameters or activations? Correlations with
runtimes, ours and theirs.

    python -m benchmarks.runtime [--device cuda] [--out]

Networks of the families that backbones declare, and scaled ones, side by side in interleaved turns;
the authors' own timings and complexities (pycls, in a data pack); and what flows.tools.scale,
fitted on small networks, predicts for others scaled by dWr. Dollár, Singh, Girshick 2021, arXiv
2103.06877: there the correlation with activations is the highest.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy import stats

from benchmarks.packs import FOLDER, members
from engine.core.build import build, with_defaults
from engine.measure.complexity import measure
from engine.measure.profile import device_name
from engine.measure.timing import CLOCKS, runtimes
from flows.tools import scaling

MEASURES = ("flops", "params", "acts")
TABLES = "model_tables.tar.xz"
X_200MF = {"name": "regnet", "depth": 13, "w_0": 24, "w_a": 36.44, "w_m": 2.49, "group_width": 8}
BASES = {
    "RegNetX": X_200MF,
    "RegNetY": X_200MF | {"se_ratio": 0.25},
    "EfficientNet": {"name": "efficientnet"},
}
FAMILIES = {"resnet": "ResNet", "resnext": "ResNeXt", "efficientnet": "EfficientNet"}
SMALLER = [
    {"name": "resnet", "depths": [n] * 4, "block": block}
    for n in (1, 2)
    for block in ("basic", "bottleneck")
]
SMALLER += [
    {"name": "resnext", "depths": [n] * 4, "group_width": g} for n in (1, 2) for g in (4, 8)
]
RESULT = Path(__file__).parent / "results" / "runtime.md"


@dataclass(frozen=True)
class Timing:
    """A network's family, its complexity and how long it ran, in milliseconds."""

    family: str
    cost: dict[str, int]
    taken: float


def declared(size: int, limit: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """(family, section) of the networks that backbones declare, up to so many multiply-adds at
    so many pixels.
    """
    for name in ("regnet", "resnet", "resnext", "efficientnet"):
        for row in import_module(f"models.backbones.{name}").expected:
            section = {"name": name, **row["options"]}
            if row.get("flops", inf) * (size / row["input"][1]) ** 2 <= limit:
                yield (
                    FAMILIES.get(name) or ("RegNetY" if section.get("se_ratio") else "RegNetX"),
                    section,
                )


def networks(size: int, limit: float) -> list[tuple[str, scaling.Version]]:
    """(family, network) of those declared, of a few smaller ones and of bases scaled by four
    rules.
    """
    found = []
    for family, section in [
        *declared(size, limit),
        *((FAMILIES[one["name"]], one) for one in SMALLER),
    ]:
        with torch.device("meta"):
            cost = measure(build("backbones", section), (3, size, size))
        found.append((family, scaling.Version("", section, size, cost)))
    for (family, section), rule in product(BASES.items(), ("d", "w", "r", scaling.FAST)):
        whole = with_defaults("backbones", section)
        found.append((family, scaling.scaled_version(whole, size, 4, rule)))
    return found


def authors(files: dict[str, bytes]) -> list[Timing]:
    """The forward passes that pycls timed on a GPU, brought from each configuration's batch to
    64 images.
    """
    complexity, timing = (
        json.loads(files[f"model_{what}.json"]) for what in ("complexity", "timing")
    )
    short, width = (
        {"EfficientNet": "EN", "ResNet": "R", "ResNeXt": "X"},
        {"ResNet": "-1x64d", "ResNeXt": "-32x4d"},
    )
    costs = {Path(name).name: cost for name, cost in complexity.items()}
    found = []
    for name in (name for name in timing if name != "date-created"):
        family, _, size = name.partition("-")
        file = f"{short.get(family, family)}-{size}{width.get(family, '')}_dds_8gpu.yaml"
        config = yaml.safe_load(files[file])
        images = config["TEST"]["BATCH_SIZE"] / config["NUM_GPUS"]
        found.append(Timing(family, costs[file], 1e3 * timing[name]["test_fw_time"] * 64 / images))
    return found


def correlations(timings: Sequence[Timing], key: str) -> tuple[float, float, float]:
    """Pearson's of values and of their logarithms, and Spearman's, of a measure of complexity
    with runtime.
    """
    x, y = (
        np.array([timing.cost[key] for timing in timings]),
        np.array([timing.taken for timing in timings]),
    )
    found = stats.pearsonr(x, y), stats.pearsonr(np.log(x), np.log(y)), stats.spearmanr(x, y)
    return tuple(float(one.statistic) for one in found)


def table(timings: Sequence[Timing]) -> Iterator[str]:
    """One line per family, and one over all."""
    yield "| networks | n | " + " | ".join(f"{key}: linear / log / rank" for key in MEASURES) + " |"
    yield "| --- | --- | --- | --- | --- |"
    for family in ("all", *dict.fromkeys(timing.family for timing in timings)):
        chosen = [timing for timing in timings if family in ("all", timing.family)]
        cells = []
        for key in MEASURES:
            cells.append(" / ".join(f"{value:.2f}" for value in correlations(chosen, key)))
        yield f"| {family} | {len(chosen)} | " + " | ".join(cells) + " |"


def predictions(size: int, where: torch.device, batch: int, rounds: int) -> Iterator[str]:
    """dWr of each base: runtime measured, and what small members of its family predict by each
    measure.
    """
    yield (
        "| network | px | measured ms | "
        + " | ".join(f"predicted by {key} / measured" for key in MEASURES)
        + " |"
    )
    yield "| --- | --- | --- | --- | --- | --- |"
    for family, section in BASES.items():
        whole = with_defaults("backbones", section)
        small = scaling.family(whole, size)
        large = [scaling.scaled_version(whole, size, factor, scaling.FAST) for factor in (4, 8)]
        times = scaling.measure_runtimes([*small, *large], where, batch, rounds)
        fits = {key: scaling.predictor(small, times[: len(small)], key) for key in MEASURES}
        for factor, one, taken in zip((4, 8), large, times[len(small) :], strict=True):
            ratios = [f"{fits[key](one.cost[key]) / taken:.2f}" for key in MEASURES]
            yield (
                f"| {family} x {factor} | {one.resolution} | {taken:.1f} | "
                + " | ".join(ratios)
                + " |"
            )


def plot(path: Path, sides: dict[str, Sequence[Timing]]) -> None:
    """Runtime against each measure, a row of panels per side, a colour per family."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    figure, axes = plt.subplots(
        len(sides), 3, figsize=(12, 3.4 * len(sides)), layout="constrained", squeeze=False
    )
    families = list(
        dict.fromkeys(timing.family for timings in sides.values() for timing in timings)
    )
    for (side, timings), line in zip(sides.items(), axes, strict=True):
        for axis, key in zip(line, MEASURES, strict=True):
            for colour, family in enumerate(families):
                own = [timing for timing in timings if timing.family == family]
                axis.loglog(
                    [o.cost[key] / 1e6 for o in own],
                    [o.taken for o in own],
                    f"C{colour}o",
                    label=family,
                    ms=4,
                )
            linear, log, _ = correlations(timings, key)
            axis.set(xlabel=f"{key} (millions)", title=f"r = {linear:.2f}, of logarithms {log:.2f}")
            for ticks in (axis.xaxis, axis.yaxis):
                ticks.set(
                    major_locator=LogLocator(subs=(1, 2, 5)),
                    major_formatter="{x:g}",
                    minor_locator=NullLocator(),
                )
            axis.grid(alpha=0.3)
        line[0].set_ylabel(f"{side} (ms)")
    axes[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def parsed() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--limit", type=float, default=7e8, help="multiply-adds at that size of a declared network"
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="interleaved turns of 0.1 s of each network"
    )
    parser.add_argument(
        "--packs", type=Path, default=FOLDER, help="folder of the pack of the authors' timings"
    )
    parser.add_argument(
        "--out", action="store_true", help="write benchmarks/results/runtime.md and .png too"
    )
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs an NVIDIA GPU that torch sees; there is none here")
    return options


def main() -> None:
    """Print the tables."""
    options = parsed()
    where = torch.device(options.device)
    found = networks(options.size, options.limit)
    built = [(build("backbones", one.section), one.resolution) for _, one in found]
    lines = [
        "# Runtime against complexity\n",
        f"{len(found)} networks without classifier at {options.size} px, scaled",
        "ones at their own size; medians of forward passes in",
        f"{options.rounds} interleaved turns of 0.1 s by {CLOCKS[where.type]}.",
        f"{date.today()}, {device_name(where)}, load {os.getloadavg()[0]:.1f} before;",
        f"torch {torch.__version__}.",
        "Correlations: Pearson's of values (linear) and of logarithms (log), Spearman's (rank).",
    ]
    sides: dict[str, list[Timing]] = {}
    for batch in options.batches:
        times = runtimes(built, where, batch, options.rounds)
        pairs = zip(found, times, strict=True)
        timings = [
            Timing(family, one.cost, 1e3 * taken)
            for (family, one), taken in pairs
            if taken == taken
        ]
        sides[f"batch {batch}"] = timings
    if (options.packs / TABLES).is_file():
        files = {
            Path(name).name: data
            for name, data in members(options.packs, TABLES, "model_tables/pycls_")
        }
        sides["pycls, 64 images on a GPU"] = authors(files)
    for side, timings in sides.items():
        most = max(MEASURES, key=lambda measure: correlations(timings, measure)[1])
        lines += [
            f"\n## {side}\n",
            *table(timings),
            f"\nOver all networks {most} tell most, by logarithms.",
        ]
    lines += [f"\n## dWr predicted from small networks, batch {options.batches[-1]}\n"]
    lines += predictions(options.size, where, options.batches[-1], options.rounds)
    text = "\n".join(lines) + f"\n\nLoad after the run: {os.getloadavg()[0]:.1f}.\n"
    print(text)
    if options.out:
        RESULT.write_text(text, encoding="utf-8")
        plot(RESULT.with_suffix(".png"), sides)


if __name__ == "__main__":
    main()
