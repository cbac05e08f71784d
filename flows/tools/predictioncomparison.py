"""The difference of two files of predictions by any metric; flows/tools/compare_predictions.py is
the command line.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy import ndarray

from corpus.names import printable
from engine.core.build import build, resolve
from flows.measuring.headline import Headline
from flows.measuring.intervals import Ends, gain_of_seeds, gain_of_values
from flows.reports.predictions.differing import Differing, rows_of
from flows.reports.predictions.page import Comparison, page
from flows.running.orchestrate import progress
from metrics.blocks.metric import Batch, Metric
from metrics.cli.command import read_pair
from metrics.formats.pair import Pair, taken

Section = dict[str, Any]
Make = Callable[[], Metric]


def metric_section(text: str) -> Section:
    """`coco_ap`, or `{name: coco_ap, of: masks}`; ValueError for anything else."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if isinstance(found, str):
        return {"name": found}
    if not isinstance(found, dict) or "name" not in found:
        raise ValueError(
            f"--metric {text}: give a metric's name, or a section such as "
            '"{name: coco_ap, of: masks}"'
        )
    return found


def compare_files(
    files: tuple[Path, Path, Path],
    metric: str,
    common: bool,
    names: Sequence[str] | None,
    images: Path | None,
    shown: int,
    out: Path,
) -> Comparison:
    """Compare predictions A and B on one truth; write the page and print what it says.

    ValueError with cause and fix where a file cannot be read, or both are not of the same samples.
    """
    *given, truth = files
    called = names or _called(given)
    if len(called) != 2 or called[0] == called[1]:
        raise ValueError(f"--names {','.join(called)}: give two names that differ, as a,b")
    if images is not None and not images.is_dir():
        raise ValueError(f"--images {images} is no folder: give the one that has the images")
    section = metric_section(metric)
    pairs = _same([_read(section, file, truth, common) for file in given], given, common)
    found = compared(section, pairs, list(called), shown)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found, pairs, images, truth), encoding="utf-8")
    numbers = out.with_suffix(".json")
    numbers.write_text(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(printable("\n".join(found.lines()), keep="\n"))
    print(f"page: {out}; numbers: {numbers}")
    return found


def compared(section: Section, pairs: Sequence[Pair], names: list[str], shown: int) -> Comparison:
    """What is told of two sets of predictions of the same samples."""
    make = partial(build, "metrics", section)
    metrics = [_measured(make, pair.predictions, pair.targets) for pair in pairs]
    headline = Headline(metrics[0].headline, metrics[0].higher, metrics[0].unit)
    numbers = [metric.compute() for metric in metrics]
    each = [_each(metric) for metric in metrics]
    gain = _gain(headline, numbers, metrics, each)
    rows = [getattr(metric, "rows", list)() for metric in metrics]
    differing = _differing(section, pairs, each, headline, shown) if shown else []
    return Comparison(section, headline, names, numbers, gain, rows_of(rows), differing)


def _called(files: Sequence[Path]) -> list[str]:
    """The files by their names, or by their whole paths, or as A and B: by what differs."""
    for called in ([file.stem for file in files], list(map(str, files))):
        if called[0] != called[1]:
            return called
    return ["A", "B"]


def _read(section: Section, predictions: Path, truth: Path, common: bool) -> Pair:
    for file in (predictions, truth):
        if not file.exists():
            raise ValueError(f"{file} is not there")
    return read_pair(build("metrics", section), predictions, truth, common)


def _same(pairs: Sequence[Pair], files: Sequence[Path], common: bool) -> list[Pair]:
    """Both in the same order, of the same samples; ValueError where one has others."""
    there = [_places(pair.samples) for pair in pairs]
    both = [name for name in pairs[0].samples if name in there[1]]
    known = set(both)
    for file, mine in zip(files, there, strict=True):
        alone = [name for name in mine if name not in known]
        if alone and not common:
            raise ValueError(
                f"{file}: {len(alone)} of {len(mine)} samples are not in the other file "
                f"({', '.join(alone[:5])}): give predictions of the same, or --common"
            )
    if not both:
        raise ValueError(f"{files[0]} and {files[1]} have no sample in common")
    return [_chosen(pair, mine, both) for pair, mine in zip(pairs, there, strict=True)]


def _places(samples: list[str]) -> dict[str, int]:
    return {name: row for row, name in enumerate(samples)}


def _chosen(pair: Pair, places: Mapping[str, int], samples: list[str]) -> Pair:
    rows = torch.tensor([places[name] for name in samples])
    given, true = taken(pair.predictions, rows), taken(pair.targets, rows)
    return Pair(given, true, pair.names, samples)


def _measured(make: Make, predictions: Batch, targets: Batch) -> Metric:
    metric = make()
    metric.update(predictions, targets)
    return metric


def _each(metric: Metric) -> ndarray | None:
    values = metric.each()
    return None if values is None else values.double().numpy()


def _gain(
    headline: Headline,
    numbers: Sequence[Mapping[str, float]],
    metrics: Sequence[Metric],
    each: Sequence[ndarray | None],
) -> Ends:
    """What the second is better by, and the ends of its interval, None where there is none."""
    if each[0] is not None:
        known = ~np.isnan(each[0])
        return gain_of_values(each[1][None, known], each[0][None, known], headline)
    values = [[float(found[headline.name])] for found in numbers]
    again = [getattr(metric, "resampled", lambda: None)() for metric in metrics]
    if None in again:
        return gain_of_seeds(values[1], values[0], headline)
    pair = again[1].numpy()[None], again[0].numpy()[None]
    return gain_of_seeds(values[1], values[0], headline, pair)


def _differing(
    section: Section,
    pairs: Sequence[Pair],
    each: Sequence[ndarray | None],
    headline: Headline,
    shown: int,
) -> list[Differing]:
    """The samples whose own numbers differ most, the largest difference first."""
    values = each if each[0] is not None else _alone(section, pairs)
    apart = headline.merit(values[1]) - headline.merit(values[0])
    size = np.where(np.isnan(apart), 0, abs(apart))
    first = np.argsort(-size, kind="stable")[:shown]
    return [
        Differing(row, pairs[0].samples[row], float(values[0][row]), float(values[1][row]))
        for row in first.tolist()
        if size[row] > 0
    ]


def _alone(section: Section, pairs: Sequence[Pair]) -> list[ndarray]:
    """The metric of every sample alone, (n,) of each of two; NaN where it has no number there."""
    make = _once(section)
    samples = len(pairs[0].samples)
    values = [np.full(samples, np.nan) for _ in pairs]
    with progress("samples") as show:
        for row in range(samples):
            for found, pair in zip(values, pairs, strict=True):
                found[row] = _of_one(make, pair, row)
            show(row + 1, samples, "samples")
    return values


def _once(section: Section) -> Make:
    """Makes the metric without an interval, which a sample alone has not; checked here, once."""
    found, settings = resolve("metrics", section, "--metric")
    if "resamples" in inspect.signature(found).parameters:
        settings["resamples"] = 0
    return partial(found, **settings)


def _of_one(make: Make, pair: Pair, row: int) -> float:
    one = torch.tensor([row])
    try:
        metric = _measured(make, taken(pair.predictions, one), taken(pair.targets, one))
        return float(metric.compute()[metric.headline])
    except ValueError:  # as of an image without an object, which has no average precision
        return float("nan")
