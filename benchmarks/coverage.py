"""How often the 95 % intervals of accuracies and gains hold the truth, by simulation.

`python -m benchmarks.coverage [--rounds 4000] [--out]`. A seed s is right for a test image i where
a + u_i + v_s + e_si > 0, all normal: u is how easy an image is, v how well a seed went, e what is
left. The true accuracy is then known. Of each setting so many experiments are drawn.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy import stats

from benchmarks.coverage_rules import RULES
from engine.core.cores import processor
from engine.measure.intervals import MeanSquares, mean_squares

RESULTS = Path(__file__).parent / "results/coverage.md"
SEEDS, IMAGES = (3, 5, 10), (100, 500, 2000)
ACCURACIES = (0.3, 0.6, 0.8, 0.95)
SPREADS = (0.0, 0.005, 0.02, 0.05)  # standard deviation of a seed's true accuracy
EASE = (1.0, 2.0)  # standard deviation of u: how much seeds are right for the same images
SHARED = 0.6  # correlation of u, and of v, of two networks that are compared
GAIN = {0.3: 0.1, 0.6: 0.1, 0.8: 0.1, 0.95: 0.05}  # of the better one over the other
CELLS = 2_000_000  # predictions drawn at a time
ANEW = 20_000  # experiments
CHANCES = (np.arange(64) + 0.5) / 64


class Setting(NamedTuple):
    """What is drawn: seeds, test images, the true accuracy, its spread over seeds, sd of u."""

    seeds: int
    images: int
    accuracy: float
    spread: float
    ease: float


def settings(seeds: int, images: int) -> Iterator[Setting]:
    """All settings of so many seeds and images."""
    for accuracy, spread, ease in itertools.product(ACCURACIES, SPREADS, EASE):
        if accuracy < 0.95 or spread < 0.05:  # no seed is right for more than all
            yield Setting(seeds, images, accuracy, spread, ease)


def _threshold(accuracy: float, ease: float, v: float) -> float:
    return stats.norm.ppf(accuracy) * np.sqrt(1 + ease**2 + v**2)


def deviation(accuracy: float, spread: float, ease: float) -> float:
    """Standard deviation of v that gives the accuracies of seeds this standard deviation."""
    low, high = 0.0, 3.0 if spread else 0.0
    seeds = stats.norm.ppf(CHANCES)
    for _ in range(40):
        middle = (low + high) / 2
        true = _threshold(accuracy, ease, middle) + middle * seeds
        found = stats.norm.cdf(true / np.sqrt(1 + ease**2)).std()
        low, high = (middle, high) if found < spread else (low, middle)
    return high


def _hits(of: Setting, count: int, draw: np.random.Generator, shared: tuple) -> ndarray:
    """int8 (count, seeds, images): what is right, with effects that another network has too."""
    v = deviation(of.accuracy, of.spread, of.ease)
    shapes = (count, 1, of.images), (count, of.seeds, 1)
    total = draw.standard_normal((count, of.seeds, of.images), dtype=np.float32)
    for scale, shape, known in zip((of.ease, v), shapes, shared, strict=True):
        own = draw.standard_normal(shape, dtype=np.float32)
        total += np.float32(scale) * (SHARED**0.5 * known + (1 - SHARED) ** 0.5 * own)
    return (total > np.float32(-_threshold(of.accuracy, of.ease, v))).astype(np.int8)


def drawn(of: Setting, rounds: int, draw: np.random.Generator) -> Iterator[tuple[ndarray, ndarray]]:
    """Hits of the better network and what it adds to the other's, (some, seeds, images) each."""
    other = of._replace(accuracy=of.accuracy - GAIN[of.accuracy])
    step = max(1, CELLS // (of.seeds * of.images))
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        shapes = (count, 1, of.images), (count, of.seeds, 1)
        shared = tuple(draw.standard_normal(shape, dtype=np.float32) for shape in shapes)
        better = _hits(of, count, draw, shared)
        yield better, better - _hits(other, count, draw, shared)


def merged(some: list[MeanSquares]) -> MeanSquares:
    """The squares of all experiments."""
    *columns, _, _ = zip(*some, strict=True)
    return MeanSquares(*map(np.concatenate, columns), *some[0][-2:])


def covered(of: Setting, rounds: int, seed: int) -> dict[tuple[str, str], float]:
    """Percent of the intervals that hold the truth, by what is told and rule."""
    draw = np.random.default_rng(seed)
    pairs = [tuple(map(mean_squares, hits)) for hits in drawn(of, rounds, draw)]
    both = dict(zip(RULES, map(merged, map(list, zip(*pairs, strict=True))), strict=True))
    truth, found = {"accuracy": of.accuracy, "gain": GAIN[of.accuracy]}, {}
    for told, some in both.items():
        for rule, ends in RULES[told].items():
            low, high = ends(some)
            held = (low <= truth[told] + 1e-9) & (truth[told] - 1e-9 <= high)
            found[told, rule] = 100 * held.mean()
    return found


COLUMNS = [(told, rule) for told, rules in RULES.items() for rule in rules]
Found = dict[Setting, dict[tuple[str, str], float]]


def measured(seeds: int, images: int, rounds: int) -> Found:
    """What covers how often in every setting of so many seeds and images."""
    some = enumerate(settings(seeds, images), 1000 * seeds + images)
    return {of: covered(of, rounds, number) for number, of in some}


def line(seeds: int, images: int, found: Found) -> str:
    """A row of the table: lowest, highest and mean coverage of the settings."""
    cells = []
    for column in COLUMNS:
        values = [each[column] for each in found.values()]
        cells.append(f"{min(values):.1f} to {max(values):.1f} ({np.mean(values):.1f})")
    return f"| {seeds} | {images:,} | " + " | ".join(cells) + " |"


def extremes(found: Found) -> Iterator[str]:
    """The settings in which this rule covers least and most, drawn anew: the worst of many
    estimates is by chance worse than it is."""
    for told, pick in itertools.product(RULES, (min, max)):
        of = pick(found, key=lambda setting: found[setting][told, "this rule"])
        again = covered(of, ANEW, seed=1)[told, "this rule"]
        first = found[of][told, "this rule"]
        about = f"{of.seeds} seeds, {of.images} images, {100 * of.accuracy:.0f} % right"
        spread = f"a seed's spread {100 * of.spread:g} points, ease {of.ease:g}"
        yield f"- {told}, {pick.__name__}: {first:.1f} %, anew {again:.1f} % ({about}, {spread})"


ABOUT = """Percent of nominal 95 % intervals that hold the truth: lowest to highest (mean) of 30
settings: true accuracy 30, 60, 80, 95 %; standard deviation of a seed's true accuracy 0, 0.5, 2, 5
points (at 95 % without the last); standard deviation of an image's ease 1 and 2 of what is left.
The gain: 10 points, 5 at 95 %, over a network whose images' ease and seeds' luck correlate by 0.6.
{rounds:,} experiments a setting: a figure is off by less than {off:.1f} points, 19 times of 20.
`this rule`: engine/measure/intervals.py."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4000, help="experiments a setting")
    parser.add_argument("--out", action="store_true", help=f"write {RESULTS.name} too")
    given = parser.parse_args()
    begun, found = time.perf_counter(), {}
    head = "| seeds | images | " + " | ".join(", ".join(column) for column in COLUMNS) + " |"
    lines = [head, "| --- |" + " --- |" * (1 + len(COLUMNS))]
    for seeds, images in itertools.product(SEEDS, IMAGES):
        some = measured(seeds, images, given.rounds)
        lines.append(line(seeds, images, some))
        print(lines[-1], flush=True)
        found |= some
    lines += ["", f"This rule's extremes, drawn anew with {ANEW:,} experiments:", ""]
    lines += extremes(found)
    print("\n".join(lines[-4:]))
    off = 196 * np.sqrt(0.95 * 0.05 / given.rounds)
    about = ABOUT.format(rounds=given.rounds, off=off)
    minutes = (time.perf_counter() - begun) / 60
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    where = f"{processor()}, {minutes:.0f} minutes; numpy {np.__version__}; {day}"
    command = f"`python -m benchmarks.coverage --rounds {given.rounds}`"
    if given.out:
        head = ["# Coverage of the intervals", "", command, "", where, "", about, ""]
        text = "\n".join([*head, *lines])
        RESULTS.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
