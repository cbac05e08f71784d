"""What a metric has seen, a part per update: it stays on its device until it is asked for."""

import torch
from torch import Tensor


class Seen:
    """Columns of the samples so far, of which a metric computes its numbers.

    With each sample: whether its target is known, and whether one of its scores is NaN.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, ...]] = []

    def add(self, known: Tensor, nan: Tensor, *columns: Tensor) -> None:
        """Keep n samples: known and nan bool (n,), columns (n, ...)."""
        self._parts.append((known, nan, *columns))

    def merge(self, other: "Seen") -> None:
        """Add the samples of another one, after the own."""
        self._parts += other._parts

    def __getstate__(self) -> dict:
        """On the CPU: workers send it to one another."""
        return {"_parts": [tuple(column.cpu() for column in part) for part in self._parts]}

    def joined(self) -> tuple[Tensor, ...]:
        """(known bool (n,), column, ...) of all n samples, on the CPU, in the order seen.

        ValueError where there is no sample, none whose target is known, or a score is NaN.
        """
        parts = [tuple(column.cpu() for column in part) for part in self._parts]
        if not sum(len(part[0]) for part in parts):
            raise ValueError(
                "a metric of no samples: the data set is empty, or update was never called"
            )
        known, nan, *columns = map(torch.cat, zip(*parts, strict=True))
        if nan.any():
            rows = nan.nonzero()[:, 0].tolist()
            raise ValueError(
                f"scores of {len(rows)} of {len(nan)} samples are NaN, the first of them in row "
                f"{rows[0]}: a network whose training has diverged gives such, measure another"
            )
        if not known.any():
            raise ValueError(
                f"the target of none of {len(known)} samples is known: give samples with labels"
            )
        return known, *columns

    def counted(self) -> tuple[Tensor, ...]:
        """(column, ...) of the samples whose target is known; ValueError as `joined`."""
        known, *columns = self.joined()
        return tuple(column[known] for column in columns)
