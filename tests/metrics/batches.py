"""Columns of drawn samples, whatever a metric reads."""

import torch
from torch import Tensor

CLASSES = 6


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


def part(batch: dict[str, Tensor], rows: Tensor | slice) -> dict[str, Tensor]:
    """Some rows of a batch."""
    return {name: column[rows] for name, column in batch.items()}
