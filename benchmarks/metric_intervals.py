"""How often a metric's 95 % interval holds what other test sets give, by simulation; its time.

`python -m benchmarks.metric_intervals [--rounds 300] [--out]`. Ten classes, of 2 to 20 % of the
samples each; a network scores a true class 1.2 standard deviations above others. What the metric is
on the average of many test sets of the same size is the truth.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.core.build import build
from engine.core.cores import processor

RESULTS = Path(__file__).parent / "results/metric_intervals.md"
METRICS = {
    "mean_ap": {},
    "mean_ap, voc2007": {"definition": "voc2007"},
    "f1": {},
    "per_class": {},
    "accuracy": {},
}
RESAMPLED = ("mean_ap", "f1")
SAMPLES = (100, 300, 1000)
SHARES = torch.linspace(0.02, 0.2, 10)
LARGE = (10_000, 100)  # samples and classes, of which the time is told
QUICK = 5  # so many times as many test sets where there are no resamples
TRUTHS = 10  # so many times as many test sets tell the truth as have an interval


def drawn(samples: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A test set: of each sample one class and any number of tags, and the scores of either."""
    tags = (torch.rand(samples, len(SHARES), generator=generator) < SHARES).float()
    label = torch.multinomial(SHARES, samples, replacement=True, generator=generator)
    noise = torch.randn(samples, len(SHARES), generator=generator)
    of_tags = noise + 1.2 * tags
    own = torch.nn.functional.one_hot(label, len(SHARES))
    found = {"of tags": of_tags, "of label": noise + 1.2 * own, "tags": tags, "label": label}
    # the threshold of one half lies between true and other classes
    return found | {"probabilities": (of_tags - 0.8).sigmoid()}


def numbers(name: str, options: dict[str, Any], data: dict[str, Tensor]) -> tuple[float, ...]:
    """(headline, low, high), the ends NaN where none are asked for."""
    metric = build("metrics", {"name": name} | options)
    target = "label" if name in ("per_class", "accuracy") else "tags"
    scores = {"scores": data[f"of {target}"], "probabilities": data["probabilities"]}
    metric.update(scores, {target: data[target]})
    found = metric.compute()
    keys = (metric.headline, f"{metric.headline}_low", f"{metric.headline}_high")
    return tuple(found.get(key, np.nan) for key in keys)


def row(called: str, samples: int, rounds: int) -> str:
    """How a metric's intervals cover: a line of the table."""
    name, options = called.partition(",")[0], METRICS[called]
    rounds = rounds if name in RESAMPLED else QUICK * rounds
    generator = torch.Generator().manual_seed(samples)
    # the truth needs no interval
    without = options | {"resamples": 0} if name in RESAMPLED else options
    many = range(TRUTHS * rounds)
    values = [numbers(name, without, drawn(samples, generator))[0] for _ in many]
    truth = np.mean(values)
    found = [numbers(name, options, drawn(samples, generator)) for _ in range(rounds)]
    _, low, high = map(np.array, zip(*found, strict=True))
    held = 100 * ((low <= truth) & (truth <= high)).mean()
    wide = (high - low).mean() / np.std(values) / (2 * 1.96)
    return f"| {called} | {samples:,} | {truth:.1f} | {held:.1f} | {wide:.2f} |"


def seconds(called: str) -> str:
    """The processor time of one `compute` with 1,000 resamples."""
    samples, classes = LARGE
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(samples, classes, generator=generator)
    tags = (torch.rand(samples, classes, generator=generator) < 0.03).float()
    label = torch.randint(classes, (samples,), generator=generator)
    metric = build("metrics", {"name": called.partition(",")[0]} | METRICS[called])
    given = {"scores": scores, "probabilities": scores.sigmoid()}
    metric.update(given, {"tags": tags} if "tags" in metric.reads.targets[0] else {"label": label})
    begun = time.process_time()
    metric.compute()
    return f"- {called}: {time.process_time() - begun:.2f} s"


ABOUT = """Percent of nominal 95 % intervals that hold the mean of other test sets of the same kind
and size, and their width over that of 3.92 standard deviations of such a mean: ten classes of 2 to
20 % of the samples. {rounds:,} test sets each, of the last two metrics {more:,}: a figure is off by
less than {off:.1f} points, 19 times of 20. Intervals: metrics/blocks/bootstrap.py,
those of the last two metrics/blocks/proportions.py."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="test sets with an interval")
    parser.add_argument("--out", action="store_true", help=f"write {RESULTS.name} too")
    given = parser.parse_args()
    lines = ["| metric | samples | truth, % | held, % | width |", "| --- | --- | --- | --- | --- |"]
    print("\n".join(lines))
    for called in METRICS:
        for samples in SAMPLES:
            lines.append(row(called, samples, given.rounds))
            print(lines[-1], flush=True)
    size = f"{LARGE[0]:,} samples of {LARGE[1]} classes"
    lines += ["", f"Processor time of one computation with its interval, {size}:", ""]
    lines += map(seconds, METRICS)
    print("\n".join(lines[-len(METRICS) :]))
    if given.out:
        off = 196 * np.sqrt(0.95 * 0.05 / given.rounds)
        about = ABOUT.format(rounds=given.rounds, more=QUICK * given.rounds, off=off)
        command = f"`python -m benchmarks.metric_intervals --rounds {given.rounds}`"
        where = f"{processor()}; numpy {np.__version__}; {datetime.now(UTC):%Y-%m-%d}"
        head = ["# Coverage of the metrics' intervals", "", command, "", where, "", about, ""]
        RESULTS.write_text("\n".join([*head, *lines, ""]))


if __name__ == "__main__":
    main()
