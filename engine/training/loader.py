"""Batches, read ahead by a thread and copied to the device while the one before is worked on."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from corpus.reading.sampler import READING, Sampler, seeded
from engine.core.batch import Batch, each, moved
from models.blocks.augment.draws import Draws

AHEAD = 2  # batches


class Dataset(Protocol):
    """What is trained on: columns by index; `draws` decides what of a sample is read."""

    def __len__(self) -> int: ...
    def read(self, indices: Tensor, draws: Draws) -> Batch: ...


class Step(NamedTuple):
    """This worker's part of a step: its batch holds samples `first .. first + length` of `total`.

    share: factor on its mean loss, 1 where all workers have as many samples, more for one that has
    more of them. 0 for a worker without samples: its batch then holds one that does not count.
    """

    iteration: int
    batch: Batch
    first: int
    total: int
    share: float


class Loader:
    """Iterates over the batches of a span of steps, on the device `where`.

    `waited` counts the seconds that training stood still for them.
    """

    def __init__(
        self,
        samples: Dataset,
        sampler: Sampler,
        per_epoch: int,
        span: range,
        where: torch.device,
        seed: int = 0,
    ) -> None:
        self.samples, self.sampler, self.seed = samples, sampler, seed
        self.per_epoch, self.span, self.where = per_epoch, span, where
        self.waited = 0.0
        # copies run beside the kernels only on a stream of their own
        self._stream = torch.cuda.Stream(where) if where.type == "cuda" else None

    def __iter__(self) -> Iterator[Step]:
        ahead: deque[Future] = deque()
        # one thread, which keeps the order; images are decoded by threads of the shards' own
        with ThreadPoolExecutor(1, initializer=self._start_thread) as pool:
            for iteration in self.span:
                while len(ahead) <= AHEAD and iteration + len(ahead) < self.span.stop:
                    ahead.append(pool.submit(self.read, iteration + len(ahead)))
                start = time.perf_counter()
                step, copied = ahead.popleft().result()
                self.waited += time.perf_counter() - start
                if copied is not None:
                    stream = torch.cuda.current_stream(self.where)  # without it: that of GPU 0
                    # the kernels that come next wait for the copy, and not this thread
                    stream.wait_event(copied)
                    # else the allocator would give their memory to the next copy too early
                    for tensor in each(step.batch):
                        tensor.record_stream(stream)
                yield step

    def _start_thread(self) -> None:
        if self._stream is not None:
            torch.cuda.set_device(self.where)  # a new thread's device is 0

    def read(self, iteration: int) -> tuple[Step, torch.cuda.Event | None]:
        """One step's batch, and on a GPU the event that its copy has ended."""
        epoch, step = divmod(iteration, self.per_epoch)
        rows, first, total = self.sampler.part(epoch, step)
        # Gradients are averaged over the workers, each with a mean over its own images: with this
        # factor the average is the mean over all images of the step, also where parts differ.
        share = len(rows) * self.sampler.world / max(total, 1)
        # workers meet in every backward pass, so that one without samples has to make it too
        if not len(rows):
            rows, first = self.sampler.epoch(epoch)[:1], 0
        # before anything is decoded: they decide what of a sample is
        draws = Draws(seeded(self.seed, READING, iteration), first, total or None)
        batch = self.samples.read(rows, draws)
        if self._stream is None:
            return Step(iteration, batch, first, total, share), None
        with torch.cuda.stream(self._stream):
            batch = moved(batch, self.where, pinned=True)
            return Step(iteration, batch, first, total, share), self._stream.record_event()

    def advice(self) -> str:
        """How to feed it faster."""
        shards = getattr(self.samples, "shards", None)
        if shards is None:
            return "let `samples` read faster"
        if shards.videos:
            return (
                f"decode with more than {shards.threads} threads (TAGDAG_THREADS), or put the "
                "shards on a faster disk, or have smaller frames stored (corpus.size)"
            )
        cached = len(shards) * shards.size**2 * 3 >> 20
        return (
            f"decode with more than {shards.threads} threads (TAGDAG_THREADS), or keep the decoded "
            f"images in memory ({cached} MiB, TAGDAG_CACHE_MB), or put the shards on a faster disk"
        )
