"""Columns whose rows differ in size, kept on their device a part per update, joined when asked."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from metrics.blocks.columns import found_name
from metrics.blocks.metric import Batch
from metrics.blocks.refusing import refuse, refuse_none


class Rows(NamedTuple):
    """The rows of a column, one after the other: values (all, ...), counts int64 (samples,)."""

    values: ndarray
    counts: ndarray

    @property
    def of(self) -> ndarray:
        """Which sample each of the values is of, int64 (all,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


class Column(NamedTuple):
    """A column of one update: values (all, ...) and how many of them each sample has."""

    values: Tensor
    counts: list[int]


def listed(batch: Batch, name: str, whose: str, *shape: int) -> Column:
    """A column of lists, each row of it (m, *shape).

    ValueError where it is missing, or a row has another shape.
    """
    rows = [torch.as_tensor(row) for row in batch[found_name(batch, name, whose)]]
    for place, row in enumerate(rows):
        if row.ndim != 1 + len(shape) or tuple(row.shape[1:]) != shape:
            wanted = ", ".join(["m", *map(str, shape)]) + "," * (not shape)
            raise ValueError(
                f"{name} of the {whose}: row {place} has shape {tuple(row.shape)}, give ({wanted})"
            )
    values = torch.cat(rows) if rows else torch.zeros(0, *shape)
    return Column(values, [len(row) for row in rows])


def plain(batch: Batch, name: str, whose: str) -> Column:
    """A column of one number per sample, (n,). ValueError where it is missing or no such."""
    values = torch.as_tensor(batch[found_name(batch, name, whose)])
    if values.ndim != 1:
        raise ValueError(f"{name} of the {whose} of shape {tuple(values.shape)}: give (n,)")
    return Column(values, [1] * len(values))


class Kept:
    """Columns of all samples so far, by name."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Column]] = []

    def add(self, **columns: Column) -> None:
        """Keep columns of the same n samples. ValueError where they are of differing ones."""
        sizes = {name: len(column.counts) for name, column in columns.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"columns of an update differ in their number of samples: {told}")
        self._parts.append(columns)

    def merge(self, other: "Kept") -> None:
        """Add the samples of another one, after the own."""
        self._parts += other._parts

    def __getstate__(self) -> dict:
        """On the CPU: workers send it to one another."""
        return {"_parts": list(map(_moved, self._parts))}

    def __len__(self) -> int:
        """How many samples there are."""
        return sum(map(_samples, self._parts))

    def all(self) -> dict[str, Rows]:
        """Every column of all samples.

        ValueError where there is no sample, or some updates lack a column that others have.
        """
        parts = list(filter(_samples, self._parts))
        refuse_none(len(parts))
        uneven = set().union(*parts) - set(parts[0]).intersection(*parts)
        if uneven:
            raise ValueError(
                f"some updates of a metric have {', '.join(sorted(uneven))} and others do not: "
                "give the same columns with each"
            )
        return {name: _joined(list(map(itemgetter(name), parts))) for name in parts[0]}


def _samples(part: dict[str, Column]) -> int:
    return len(next(iter(part.values())).counts)


def _moved(part: dict[str, Column]) -> dict[str, Column]:
    return {name: column._replace(values=column.values.cpu()) for name, column in part.items()}


def _joined(parts: Sequence[Column]) -> Rows:
    # an empty row may come in any type
    some = [part.values for part in parts if len(part.values)] or [parts[0].values]
    values = torch.cat([each.cpu() for each in some])
    if values.dtype == torch.bfloat16:  # which numpy has not
        values = values.float()
    counts = [np.asarray(part.counts, np.int64) for part in parts]
    return Rows(values.numpy(), np.concatenate(counts))


def drawn_together(group: ndarray | None, samples: int) -> tuple[int, Callable]:
    """(what is drawn, its weights (drawn, m) as those of the samples (samples, m)).

    group: of each sample, of those that are drawn together; None: each alone.
    """
    if group is None:
        return samples, lambda weights: weights
    _, place = np.unique(group, return_inverse=True)
    return int(place.max()) + 1, lambda weights: weights[place]


def same_counts(columns: dict[str, Rows], names: Sequence[str], what: str) -> None:
    """ValueError where columns of the same objects have differing numbers of them in a sample."""
    first, *others = (columns[name] for name in names if name in columns)
    for other in others:
        refuse(
            first.counts != other.counts,
            f"have another number of {what} in one column than in another",
            f"give as many in each of {', '.join(names)}",
        )


def refuse_some(column: Rows, test: Callable[[ndarray], ndarray], what: str, fix: str) -> None:
    """ValueError that lists the samples of which `test` is true of any value."""
    bad = test(column.values)
    bad = bad.any(tuple(range(1, bad.ndim)))
    refuse(np.bincount(column.of[bad], minlength=len(column.counts)) > 0, what, fix)
