"""What is read of two files: predictions and targets of the same samples, in the same order."""

from typing import NamedTuple

from metrics.blocks.metric import Batch


class Pair(NamedTuple):
    """Two batches, a row per sample; names of classes, in the order of their numbers, where they
    are known; samples: what the files call each of them, as an image's name.
    """

    predictions: Batch
    targets: Batch
    names: list[str]
    samples: list[str]
