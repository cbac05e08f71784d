"""Random numbers of one training step: every image's own, and those that all images share.

An image's are the same whichever worker holds it.

All are drawn on the host: a few numbers per image cost nothing there, give a CPU and a GPU the same
augmentations, and let the host know what was drawn (an operation, a box) without waiting for the
device.
"""

import torch
from scipy.special import betaincinv
from torch import Tensor

__all__ = ["Draws", "moved"]


class Draws:
    """Draws for the images `first .. first + n` of a step of `total` images.

    `generator` is of the CPU.

    Every worker draws for the whole step and keeps its rows, so an image's numbers do not depend on
    who holds it.
    """

    def __init__(
        self, generator: torch.Generator, first: int = 0, total: int | None = None
    ) -> None:
        assert generator.device.type == "cpu", "numbers drawn on a GPU would have to be waited for"
        self.generator, self.first, self.total = generator, first, total

    def rand(self, n: int, *shape: int) -> Tensor:
        """Uniform numbers (n, *shape) in [0, 1) for n images, on the host."""
        return torch.rand(self._all(n), *shape, generator=self.generator)[
            self.first : self.first + n
        ]

    def randn(self, n: int, *shape: int) -> Tensor:
        """Normal numbers (n, *shape) for n images, on the host."""
        return torch.randn(self._all(n), *shape, generator=self.generator)[
            self.first : self.first + n
        ]

    def once(self, *shape: int) -> Tensor:
        """Uniform numbers that all images of the step share, on the host."""
        return torch.rand(*shape, generator=self.generator)

    def beta(self, alpha: float) -> float:
        """One number of Beta(alpha, alpha) that all images share, by the distribution's inverse."""
        return float(betaincinv(alpha, alpha, self.once(1).item()))

    def partners(self, n: int) -> Tensor:
        """Row of each image's partner: the images of a step pair up, 0 with 1, 2 with 3 and so on.

        An image whose partner is not among the n rows (a worker's odd part, the last of an odd
        step) is its own.
        """
        own = torch.arange(n)
        rows = ((own + self.first) ^ 1) - self.first
        return torch.where((rows >= 0) & (rows < n), rows, own)

    def _all(self, n: int) -> int:
        total = self.first + n if self.total is None else self.total
        assert self.first + n <= total, (
            f"images {self.first} to {self.first + n} of a step of {total}"
        )
        return total


def moved(numbers: Tensor, device: torch.device) -> Tensor:
    """Host numbers on the device, without waiting for it."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers
