"""Columns of drawn samples, whatever a metric reads."""

from typing import Any

import torch
from torch import Tensor

from engine.core.build import build
from metrics.formats.pair import taken
from tests.metrics.drawn_objects import drawn_objects
from tests.metrics.events.drawn import drawn_events

CLASSES = 6
Columns = dict[str, Tensor | list]


def drawn(samples: int = 60, seed: int = 0) -> dict[str, Tensor]:
    """Samples of 6 classes, the last of which none is of; one score in five equals another one."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(CLASSES - 1, (samples,), generator=generator)
    tags = (torch.rand(samples, CLASSES, generator=generator) < 0.3).float()
    tags[:, -1] = 0
    tags[torch.arange(samples), label] = 1
    scores = torch.randn(samples, CLASSES, generator=generator) + 1.5 * tags
    # in steps, so that there are ties
    scores = (scores * 5).round() / 5
    predictions = {"scores": scores, "probabilities": scores.sigmoid()}
    return {**predictions, "label": label, "tags": tags, "hashtags": tags}


def drawn_pair(samples: int = 60, seed: int = 0) -> tuple[Columns, Columns]:
    """(predictions, targets) of everything that a metric may read: a name may be in both."""
    whole = drawn(samples, seed)
    given, true = dict(whole), dict(whole)
    for more in (drawn_objects, panoptic, drawn_events):
        columns, answers = more(samples, seed)
        given |= columns
        true |= answers
    return given, true


def panoptic(samples: int, seed: int) -> tuple[Columns, Columns]:
    """Maps of 4 segments, and of the classes at their places, which guesses move."""
    generator = torch.Generator().manual_seed(seed)
    given, true = [], []
    for _ in range(samples):
        top, left, down = torch.randint(2, 14, (3,), generator=generator).tolist()
        for side, maps in ((down % 3, given), (0, true)):
            pixels = torch.ones(16, 16, dtype=torch.int32)
            pixels[top + side :, :] = 2
            pixels[:, left:] += 2
            maps.append(pixels)
    labels = list(torch.randint(CLASSES - 1, (samples, 4), generator=generator))
    crowd = list(torch.rand(samples, 4, generator=generator) < 0.1)
    columns = [
        {"panoptic": maps, "panoptic_label": labels, "semantic": _classes(maps, labels)}
        for maps in (given, true)
    ]
    return columns[0], columns[1] | {"panoptic_crowd": crowd}


def _classes(maps: list[Tensor], labels: list[Tensor]) -> list[Tensor]:
    return [label[pixels.long() - 1] for pixels, label in zip(maps, labels, strict=True)]


def names_of(wanted: tuple[str | tuple[str, ...], ...]) -> list[list[str]]:
    """The columns that are wanted, of each those any one of which will do."""
    return [[names] if isinstance(names, str) else list(names) for names in wanted]


def example(name: str, samples: int = 60, seed: int = 0) -> tuple[Columns, Columns]:
    """(predictions, targets) that the metric of this name reads, and no others."""
    metric: Any = build("metrics", {"name": name})
    given, true = drawn_pair(samples, seed)
    asked = [name for names in names_of(metric.reads.predictions) for name in names]
    answers = [name for names in names_of(metric.reads.targets) for name in names]
    answers += [name for name in metric.reads.more if name in true]
    return {name: given[name] for name in asked}, {name: true[name] for name in answers}


def part(batch: Columns, rows: Tensor | slice) -> Columns:
    """Some rows of a batch."""
    samples = len(next(iter(batch.values())))
    return taken(batch, torch.arange(samples)[rows])
