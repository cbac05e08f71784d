"""Batches that fit into memory: half as many images when it runs out, from then on."""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.core.allocator import OutOfMemory, out_of_memory

Found = tuple[Tensor, ...]  # each has a row per image


class Fitting:
    """Calls a function of images in parts of at most `batch`, fewer once memory has run out."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def __call__(self, function: Callable[[Tensor], Found], images: Tensor) -> Found:
        """What the function gives of all images, of which there is one at least.

        OutOfMemory when a single image does not fit.
        """
        found, first = [], 0
        while first < len(images):
            some = images[first : first + self.batch]
            part = self._tried(function, some)
            if part is not None:
                found.append(part)
                first += len(some)
        return found[0] if len(found) == 1 else tuple(map(torch.cat, zip(*found, strict=True)))

    def _tried(self, function: Callable[[Tensor], Found], images: Tensor) -> Found | None:
        """What the function gives; None where memory ran out, after which fewer are tried."""
        try:
            return function(images)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            # of CUDA's message, which goes on with the state of its allocator
            reason = str(error).splitlines()[0][:200]
        # out of the handler, which keeps the tensors of the failed pass alive
        if len(images) == 1:
            raise OutOfMemory(
                f"one image does not fit into memory: {reason}: take a smaller network"
            )
        self.batch = len(images) // 2
        torch.cuda.empty_cache()
        return None
