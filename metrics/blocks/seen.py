"""What a metric has seen, a part per update: it stays on its device until it is asked for."""

from collections.abc import Iterator

import torch
from torch import Tensor

from metrics.blocks.columns import Scored
from metrics.blocks.refusing import refuse, refuse_none, refuse_unknown


class Seen:
    """Columns of the samples so far, of which a metric computes its numbers."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, ...]] = []

    def add(self, found: Scored, *columns: Tensor) -> None:
        """Keep columns (n, ...) of n samples, and which of them are to be counted or refused."""
        self._parts.append((found.known, found.nan, found.outside, *columns))

    def merge(self, other: "Seen") -> None:
        """Add the samples of another one, after the own."""
        self._parts += other._parts

    def __getstate__(self) -> dict:
        """On the CPU: workers send it to one another."""
        return {"_parts": list(map(_on_cpu, self._parts))}

    def joined(self) -> tuple[Tensor, ...]:
        """(known bool (n,), column, ...) of all n samples, on the CPU, in the order seen.

        ValueError where there is no sample, none whose target is known, a score is NaN, or a class
        is none of the scores'.
        """
        known, nan, outside, *columns = self._whole()
        refuse(
            nan.numpy(),
            "have a score that is NaN",
            "a training that has diverged gives such weights: measure another network",
        )
        refuse(
            outside.numpy(),
            "have a class that no column of the scores is for",
            "give scores and classes of the same data set; classes are counted from 0",
        )
        refuse_unknown(int(known.sum()), len(known))
        return known, *columns

    def _whole(self) -> Iterator[Tensor]:
        refuse_none(sum(len(part[0]) for part in self._parts))
        if len(set(map(_shapes, self._parts))) > 1:
            raise ValueError(
                "updates of a metric differ in their number of classes: use one metric each"
            )
        for columns in zip(*self._parts, strict=True):
            yield torch.cat([column.cpu() for column in columns])

    def counted(self) -> tuple[Tensor, ...]:
        """(column, ...) of the samples whose target is known; ValueError as `joined`."""
        known, *columns = self.joined()
        return tuple(column[known] for column in columns)


def _on_cpu(part: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(column.cpu() for column in part)


def _shapes(part: tuple[Tensor, ...]) -> tuple[torch.Size, ...]:
    return tuple(column.shape[1:] for column in part)
