"""Drawn segments, boundaries and transcripts, with what a network could make of them."""

import torch
from torch import Tensor

CLASSES = 4
WORDS = ("sea", "wind", "wood", "it's", "blue", "Hill", "lake,", "é")
Columns = dict[str, Tensor | list[Tensor]]


def drawn_events(samples: int = 60, seed: int = 0) -> tuple[Columns, Columns]:
    """(predictions, targets): all columns that the metrics of events and texts read."""
    generator = torch.Generator().manual_seed(seed)
    given: Columns = {}
    true: Columns = {}
    for found in (_segments, _boundaries, _transcripts):
        more, others = found(samples, generator)
        given |= more
        true |= others
    true["group"] = torch.arange(samples) // 3
    return given, true


def _many(samples: int, generator: torch.Generator, most: int = 5) -> list[int]:
    """How many each sample has: none of one in six."""
    return torch.randint(0, most + 1, (samples,), generator=generator).tolist()


def _guessed(labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(which of the true ones are found, twice at times; their classes; their scores)."""
    kept = torch.rand(2, len(labels), generator=generator) < torch.tensor([[0.8], [0.3]])
    rows = kept.nonzero()[:, 1]
    wrong = torch.rand(len(rows), generator=generator) < 0.15
    label = torch.where(wrong, (labels[rows] + 1) % CLASSES, labels[rows])
    return rows, label, torch.rand(len(rows), generator=generator, dtype=torch.float64)


def _segments(samples: int, generator: torch.Generator) -> tuple[Columns, Columns]:
    given: Columns = {"segments": [], "segment_label": [], "segment_score": []}
    true: Columns = {"segments": [], "segment_label": []}
    for many in _many(samples, generator):
        start = 60 * torch.rand(many, 1, generator=generator, dtype=torch.float64)
        length = 5 + 20 * torch.rand(many, 1, generator=generator, dtype=torch.float64)
        labels = torch.randint(CLASSES, (many,), generator=generator)
        true["segments"].append(torch.cat([start, start + length], 1))
        true["segment_label"].append(labels)
        rows, label, score = _guessed(labels, generator)
        noise = torch.randn(len(rows), 2, generator=generator, dtype=torch.float64)
        moved = true["segments"][-1][rows] + 1.5 * noise
        given["segments"].append(moved.sort(1).values)
        given["segment_label"].append(label)
        given["segment_score"].append(score)
    return given, true


def _boundaries(samples: int, generator: torch.Generator) -> tuple[Columns, Columns]:
    given: Columns = {"boundaries": []}
    duration = 5 + 5 * torch.rand(samples, generator=generator, dtype=torch.float64)
    agreement = torch.rand(samples, generator=generator, dtype=torch.float64)
    # all of a contract's samples count
    true: Columns = {"rater_boundaries": [], "duration": duration, "agreement": 0.3 + agreement / 2}
    for many, length in zip(_many(samples, generator), duration, strict=True):
        times = length * torch.rand(many, generator=generator, dtype=torch.float64).sort().values
        noise = torch.randn(3, many, generator=generator, dtype=torch.float64)
        raters = times + 0.3 * noise
        raters[torch.rand(3, many, generator=generator) < 0.2] = torch.nan
        true["rater_boundaries"].append(raters)
        missed = torch.rand(many, generator=generator) < 0.2
        moved = times + 0.4 * torch.randn(many, generator=generator, dtype=torch.float64)
        given["boundaries"].append(moved[~missed])
    return given, true


def _transcripts(samples: int, generator: torch.Generator) -> tuple[Columns, Columns]:
    given, true = [], []
    for many in _many(samples, generator, 9):
        said = torch.randint(len(WORDS), (many,), generator=generator)
        heard = said[torch.rand(many, generator=generator) < 0.9]
        wrong = torch.rand(len(heard), generator=generator) < 0.2
        heard = torch.where(wrong, (heard + 1) % len(WORDS), heard)
        for texts, words in ((true, said), (given, heard)):
            texts.append(transcript(" ".join(WORDS[word] for word in words.tolist())))
    return {"transcript": given}, {"transcript": true}


def transcript(text: str) -> Tensor:
    """The bytes of a text, uint8 (k,)."""
    return torch.tensor(list(text.encode()), dtype=torch.uint8)
