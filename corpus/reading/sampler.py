"""The order in which training reads images: of (seed, epoch) alone, dealt out to ranks.

An epoch is one list of images, the same for any number of ranks; step s takes the next `batch`
images of it, and rank r the r-th part of those. So the state of a reader is (epoch, step): a run
may go on with other ranks, on the same images at each step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

ListDrawer = Callable[[torch.Generator], Tensor]  # gives the list of an epoch, int64

# Random streams: what follows the seed in `seeded`. Each kind of draw has a number of its own, lest
# two of them share their random numbers. A number that changed would change results.
ORDER = 1  # (seed, ORDER, epoch): the list of an epoch
VIEWS = 2  # (seed, VIEWS, iteration): random views of a step's images
FEW_LABELS = 3  # (seed, FEW_LABELS): the labelled images that an arm of fine-tuning learns from
LAYERS = 4  # (seed, LAYERS, iteration, image): what layers draw themselves, such as dropout
# (seed, HELD_OUT): labels that hyper-parameters are chosen on. Two numbers and not four, so that it
# never meets LAYERS all the same
HELD_OUT = 4
TEST_VIEWS = 5  # (0, TEST_VIEWS): views that networks are measured on, the same for every seed
# (seed, READING, iteration): what of a sample is read, such as the frames of a clip; 0 for tests
READING = 6
MONITORED = 7  # (0, MONITORED): images that a pretraining is looked at with, alike for every seed


def seeded(*numbers: int) -> torch.Generator:
    """A generator of these numbers alone: any iteration is drawn without those before it."""
    mixed = 0
    # SplitMix64's finaliser (Steele et al. 2014), so that neighbouring seeds share nothing
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed >> 1)


class Sampler:
    """Batches of image indices for one rank of `world`.

    `draw_list` draws the whole epoch's list from a generator.

    `batch` counts the images of a step over all ranks. The end of a list that fills no batch is
    left out, since it would change the normaliser of the loss; with `drop_last=False` it is a last,
    smaller step, so that every entry comes exactly once; a rank's part of that may be smaller by
    one than another's, or empty. A single entry joins the step before, whatever the number of
    ranks: one image alone has no variance for batch norm to divide by.
    """

    def __init__(
        self,
        draw_list: ListDrawer,
        batch: int,
        seed: int,
        world: int = 1,
        rank: int = 0,
        drop_last: bool = True,
    ) -> None:
        if batch < world or not 0 <= rank < world:
            raise ValueError(
                f"batch {batch} cannot be dealt to rank {rank} of {world}: "
                "make it at least one for each"
            )
        self.draw_list, self.batch, self.seed = draw_list, batch, seed
        self.drop_last = drop_last
        self.world, self.rank = world, rank
        self._epoch: tuple[int, Tensor] = (-1, torch.empty(0))

    def epoch(self, number: int) -> Tensor:
        """The list of an epoch, int64, of all ranks."""
        # one read, one write: the thread that reads ahead may be in the next epoch already
        kept = self._epoch
        if kept[0] != number:
            kept = number, self.draw_list(seeded(self.seed, ORDER, number))
            self._epoch = kept
        return kept[1]

    def steps_of(self, entries: int) -> int:
        """The number of steps of an epoch of so many entries."""
        whole, rest = divmod(entries, self.batch)
        if self.drop_last:
            return whole
        return max(whole + (rest > 1), min(entries, 1))

    def part(self, epoch: int, step: int) -> tuple[Tensor, int, int]:
        """(this rank's images at a step, place of the first in the step, images of all ranks)."""
        entries = self.epoch(epoch)
        stop = (step + 1) * self.batch
        if not self.drop_last and len(entries) == stop + 1:
            stop += 1
        whole = entries[step * self.batch : stop]
        parts = whole.tensor_split(self.world)
        first = sum(len(part) for part in parts[: self.rank])
        return parts[self.rank], first, len(whole)

    def indices(self, epoch: int, step: int) -> Tensor:
        """The images of this rank at a step."""
        return self.part(epoch, step)[0]
