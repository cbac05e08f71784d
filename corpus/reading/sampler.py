"""The order in which training reads images: a function of (seed, epoch) alone, dealt out to
ranks and workers.

An epoch is one list of images, the same for any number of ranks; step s takes the next `batch`
images of it, and rank r the r-th part of those. So the state of a reader is (epoch, step): a run
may go on with other ranks, on the same images at each step.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Lists = Callable[[torch.Generator], Tensor]


def seeded(*numbers: int) -> torch.Generator:
    """A generator that depends on these numbers alone, so that any iteration can be drawn
    without those before it.
    """
    mixed = 0
    for number in numbers:  # SplitMix64's finaliser, so that neighbouring seeds share nothing
        mixed = (mixed + number + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed >> 1)


def blockwise(lists: Lists, block: int, window: int) -> Lists:
    """The same lists, shuffled so that reads stay near each other: for files larger than memory.

    The images in the order of the files are cut into blocks of `block` entries; the blocks are
    permuted, and each `window` blocks in turn shuffled together. So `window` runs of `block`
    entries are read at a time, each once. Images that a list holds k times are in k runs through
    the files, so that repeats lie apart.

    How random that is: a block's place in the epoch is uniform, any order of a window's entries is
    equally likely, and the blocks meet in new windows in each epoch. But the entries of a block
    always lie within window * block of one another, and in a batch much smaller than a window two
    entries come from one block with probability 1 / window, rather than block / entries. If the
    files' order says nothing of the images (a hash of their ids), each single batch is a uniform
    draw all the same; if it does (sorted by class), only a `window` well above the number of images
    that a batch should mix makes up for it. ValueError unless both are at least 1.
    """
    if block < 1 or window < 1:
        raise ValueError(
            f"blocks of {block} entries in windows of {window} are no shuffle; both must be at least 1"
        )

    def draw(generator: torch.Generator) -> Tensor:
        images = lists(generator).sort().values
        repeat = torch.arange(len(images)) - torch.searchsorted(images, images)
        images = images[repeat.argsort(stable=True)]
        blocks = torch.randperm(-(-len(images) // block), generator=generator)
        entries = (blocks[:, None] * block + torch.arange(block)).flatten()
        entries = entries[entries < len(images)]  # the last block may be short
        parts = [
            part[torch.randperm(len(part), generator=generator)]
            for part in entries.split(block * window)
        ]
        return images[torch.cat(parts)]

    return draw


class Order:
    """Batches of image indices for one rank of `world`.

    `lists` draws the whole epoch's list from a generator.

    `batch` counts the images of a step over all ranks. The end of a list that fills no batch is
    left out (`left_over` counts it: it would change the normaliser of the loss); with
    `drop_last=False` it is a last, smaller step, so that every entry comes exactly once; a rank's
    part of that may be smaller by one than another's, or empty. A single entry joins the step
    before, whatever the number of ranks: one image alone has no variance for batch norm to divide
    by.
    """

    def __init__(
        self,
        lists: Lists,
        batch: int,
        seed: int,
        world: int = 1,
        rank: int = 0,
        drop_last: bool = True,
    ) -> None:
        if batch < world or not 0 <= rank < world:
            raise ValueError(
                f"batch {batch} cannot be dealt to rank {rank} of {world}: make it at least one for each"
            )
        self.lists, self.batch, self.seed, self.drop_last = lists, batch, seed, drop_last
        self.world, self.rank = world, rank
        self._epoch: tuple[int, Tensor] = (-1, torch.empty(0))

    def epoch(self, number: int) -> Tensor:
        """The list of an epoch, int64, of all ranks."""
        if self._epoch[0] != number:
            self._epoch = number, self.lists(seeded(self.seed, 1, number))
        return self._epoch[1]

    def steps(self, epoch: int) -> int:
        """The number of steps of an epoch, the same for every rank."""
        return self.steps_of(len(self.epoch(epoch)))

    def steps_of(self, entries: int) -> int:
        """The number of steps of an epoch of so many entries."""
        whole, rest = divmod(entries, self.batch)
        if self.drop_last:
            return whole
        return max(whole + (rest > 1), min(entries, 1))

    def left_over(self, epoch: int) -> int:
        """The number of entries at an epoch's end that no rank reads."""
        return len(self.epoch(epoch)) % self.batch if self.drop_last else 0

    def part(self, epoch: int, step: int) -> tuple[Tensor, int, int]:
        """This rank's images at a step, the place of the first of them in the step, and how many
        all ranks have.
        """
        entries, stop = self.epoch(epoch), (step + 1) * self.batch
        if not self.drop_last and len(entries) == stop + 1:
            stop += 1
        whole = entries[step * self.batch : stop]
        parts = whole.tensor_split(self.world)
        return parts[self.rank], sum(map(len, parts[: self.rank])), len(whole)

    def indices(self, epoch: int, step: int) -> Tensor:
        """The images of this rank at a step."""
        return self.part(epoch, step)[0]

    def batches(
        self, epoch: int = 0, step: int = 0, worker: int = 0, workers: int = 1
    ) -> Iterator[tuple[int, int, Tensor]]:
        """(epoch, step, indices) without end, from that state on.

        Workers take an epoch's steps in turn.

        ValueError for an epoch without a step.
        """
        while True:
            if not self.steps(epoch):
                raise ValueError(
                    f"{len(self.epoch(epoch))} images fill no batch of {self.batch}; lower it"
                )
            for number in range(step, self.steps(epoch)):
                if number % workers == worker:
                    yield epoch, number, self.indices(epoch, number)
            epoch, step = epoch + 1, 0
