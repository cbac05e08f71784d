"""Batches that fit into memory: half as many images when it runs out, from then on."""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.core.allocator import fewer_images, memory_reason, out_of_memory

Found = tuple[Tensor | list, ...]  # each has a row per image
Images = Tensor | list[Tensor]  # a list where they differ in size


class Fitting:
    """Calls a function of images in parts of at most `batch`, fewer once memory has run out."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def __call__(self, function: Callable[[Images], Found], images: Images) -> Found:
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
        return found[0] if len(found) == 1 else tuple(map(_joined, zip(*found, strict=True)))

    def _tried(self, function: Callable[[Images], Found], images: Images) -> Found | None:
        """What the function gives; None where memory ran out, after which fewer are tried."""
        try:
            return function(images)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            reason = memory_reason(error)
        self.batch = fewer_images(len(images), reason)
        return None


def _joined(parts: tuple[Tensor | list, ...]) -> Tensor | list:
    """Rows of several batches, one after the other."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return [row for part in parts for row in part]
