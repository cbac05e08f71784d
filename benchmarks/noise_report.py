"""The noise study as a table and a figure: means over seeds, differences paired by seed, what
was to be expected.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.study import cell, preamble, verdict
from engine.measure.statistics import over_seeds

Accuracies = dict[str, dict[str, list[float]]]  # condition, measure -> top-1 % per seed
EXPECTED = [  # of Mahajan et al. 2018: what is above what
    ("10 % noise costs (less than 1 %)", "base", "noise 10 %"),
    ("25 % noise costs (about 2 %)", "base", "noise 25 %"),
    ("50 % noise costs", "base", "noise 50 %"),
    ("sqrt above natural resampling", "base", "natural"),
    ("uniform above natural resampling", "uniform", "natural"),
    ("vocabulary of the targets above nouns", "targets", "base"),
    ("vocabulary of the targets above frequent", "targets", "frequent"),
    ("hashtags above no pretraining", "base", "scratch"),
]
ABOUT = (
    "Top-1 %, mean ± half of the 95 % interval over seeds; in brackets the difference to the base, "
    "paired by seed,\nlikewise. An expectation `shows` where the interval of the paired difference "
    "lies above 0; one in twenty such intervals\nmisses the true difference by chance."
)
ABLATIONS = ("natural", "uniform", "targets", "frequent")


def collected(rows: Sequence[dict[str, Any]]) -> Accuracies:
    """Top-1 % by condition and measure, in the order of the seeds."""
    found: Accuracies = {}
    for row in rows:
        for measure, top1 in row["accuracies"].items():
            found.setdefault(row["name"], {}).setdefault(measure, []).append(top1)
    return found


def paired(found: Accuracies, above: str, below: str, measure: str) -> list[float]:
    """The differences between two conditions, seed by seed."""
    return [a - b for a, b in zip(found[above][measure], found[below][measure], strict=True)]


def tables(found: Accuracies) -> list[str]:
    """Markdown: every condition, and every expectation, by measure."""
    measures = list(found["base"])
    lines = ["| condition | " + " | ".join(measures) + " |", "|" + " --- |" * (1 + len(measures))]
    for name, top1 in found.items():
        cells = [cell(top1[measure]) for measure in measures]
        if name != "base":
            cells = [
                f"{c} ({cell(paired(found, name, 'base', m), '+')})"
                for c, m in zip(cells, measures, strict=True)
            ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| expected | " + " | ".join(measures) + " |",
        "|" + " --- |" * (1 + len(measures)),
    ]
    for text, above, below in EXPECTED:
        differences = [paired(found, above, below, measure) for measure in measures]
        lines.append(
            f"| {text} | " + " | ".join(f"{cell(d, '+')}: {verdict(d)}" for d in differences) + " |"
        )
    return lines


def text(rows: Sequence[dict[str, Any]], sizes: dict[str, Any], command: str) -> str:
    """The study as Markdown."""
    more = {"sizes": json.dumps(sizes), "base": "sqrt resampling, vocabulary nouns, no noise"}
    lines = preamble("Tag noise, resampling and vocabulary, on photographs", command, rows, **more)
    lines += ["", ABOUT, ""]
    return (
        "\n".join(
            [*lines, *tables(collected(rows)), "", "![transfer curve and ablations](noise.png)"]
        )
        + "\n"
    )


def plot(path: Path, found: Accuracies, shares: dict[str, float]) -> None:
    """Above: accuracy over the share of noise (`shares` by condition); below: what the ablations
    change.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    measures = list(found["base"])
    size = (4 * len(measures), 6.5)
    figure, axes = plt.subplots(2, len(measures), figsize=size, layout="constrained", squeeze=False)
    for measure, curve, bars in zip(measures, *axes, strict=True):
        top1, percent = (
            [found[name][measure] for name in shares],
            [100 * share for share in shares.values()],
        )
        means, errors = spread(top1)
        for seed in zip(*top1, strict=True):
            curve.plot(percent, seed, color="grey", alpha=0.4, linewidth=0.8)
        curve.errorbar(percent, means, yerr=errors, marker="o", capsize=3)
        curve.set(
            title=measure, xlabel="tags replaced by draws from the marginal (%)", ylabel="top-1 (%)"
        )
        differences = [paired(found, name, "base", measure) for name in ABLATIONS]
        means, errors = spread(differences)
        bars.bar(ABLATIONS, means, yerr=errors, capsize=3, color=["C1", "C1", "C2", "C2"])
        bars.axhline(0, color="black", linewidth=0.8)
        bars.set(
            ylabel="top-1 minus base (points)", xlabel="resampling | vocabulary (base: sqrt, nouns)"
        )
        for axis in (curve, bars):
            axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def spread(values: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Means and halves of the 95 % intervals; 0 where there is a single seed."""
    intervals = [over_seeds(each) for each in values]
    return [mean for mean, _, _ in intervals], [
        0.0 if high is None else high - mean for mean, _, high in intervals
    ]


def write(rows: Sequence[dict[str, Any]], sizes: dict[str, Any], command: str, out: Path) -> None:
    """out/noise.md and out/noise.png; the table is printed too."""
    out.mkdir(parents=True, exist_ok=True)
    shown = text(rows, sizes, command)
    (out / "noise.md").write_text(shown, encoding="utf-8")
    noisy = {
        row["name"]: row["condition"]["noise"]
        for row in rows
        if row["name"].startswith(("base", "noise"))
    }
    plot(out / "noise.png", collected(rows), noisy)
    print(shown)
