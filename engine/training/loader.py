"""Batches, read and decoded ahead by a thread and copied to the device while the one before is
worked on.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from corpus.reading.sampler import Sampler

AHEAD = 2  # batches


class Dataset(Protocol):
    """What is trained on: images as uint8 (n, h, w, 3) and targets, both by index."""

    def __len__(self) -> int: ...
    def images(self, indices: Tensor) -> Tensor: ...
    def targets(self, indices: Tensor) -> Tensor: ...


class Batch(NamedTuple):
    """This worker's part of a step: images `first .. first + len(inputs)` of `total`, on the
    device.

    share: its number of images times the workers over `total`, 1 where all have as many; a worker
    that has none reads one that does not count.
    """

    iteration: int
    inputs: Tensor
    targets: Tensor
    first: int
    total: int
    share: float


class Loader:
    """Iterates over a span of steps.

    `waited` counts the seconds that training stood still for them.
    """

    def __init__(
        self, samples: Dataset, sampler: Sampler, per_epoch: int, span: range, where: torch.device
    ) -> None:
        self.samples, self.sampler = samples, sampler
        self.per_epoch, self.span, self.where = per_epoch, span, where
        self.waited = 0.0
        self._stream = torch.cuda.Stream(where) if where.type == "cuda" else None

    def read(self, iteration: int) -> tuple[Batch, torch.cuda.Event | None]:
        """One step, and on a GPU what tells that its copy has ended."""
        rows, first, total = self.sampler.part(*divmod(iteration, self.per_epoch))
        share = len(rows) * self.sampler.world / max(total, 1)
        if not len(rows):
            rows, first = self.sampler.epoch(iteration // self.per_epoch)[:1], 0
        about = first, total, share
        images, targets = self.samples.images(rows), self.samples.targets(rows)
        if self._stream is None:
            return Batch(iteration, images, targets, *about), None
        with torch.cuda.stream(self._stream):
            images, targets = (
                t.pin_memory().to(self.where, non_blocking=True) for t in (images, targets)
            )
            return Batch(iteration, images, targets, *about), self._stream.record_event()

    def advice(self) -> str:
        """How to feed it faster."""
        shards = getattr(self.samples, "shards", None)
        if shards is None:
            return "let `samples` read faster"
        cached = len(shards) * shards.size**2 * 3 >> 20
        return (
            f"decode with more than {shards.threads} threads (TAGDAG_THREADS), or keep the decoded images in memory "
            f"({cached} MiB, TAGDAG_CACHE_MB), or put the shards on a faster disk"
        )

    def __iter__(self) -> Iterator[Batch]:
        ahead: deque[Future] = deque()
        own = (
            (torch.cuda.set_device, (self.where,)) if self._stream else (None, ())
        )  # a new thread's device is 0
        with ThreadPoolExecutor(1, initializer=own[0], initargs=own[1]) as pool:
            for iteration in self.span:
                while len(ahead) <= AHEAD and iteration + len(ahead) < self.span.stop:
                    ahead.append(pool.submit(self.read, iteration + len(ahead)))
                start = time.perf_counter()
                step, copied = ahead.popleft().result()
                self.waited += time.perf_counter() - start
                if copied is not None:
                    stream = torch.cuda.current_stream(self.where)  # without it: that of GPU 0
                    stream.wait_event(copied)
                    for tensor in (step.inputs, step.targets):
                        tensor.record_stream(stream)
                yield step
