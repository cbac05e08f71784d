"""Test images that the posts hold in another form: neighbours by the pretrained network, checked in their pixels.

Mahajan et al. 2018 (arXiv 1805.00932): k = 21 nearest neighbours by R-MAC features, the candidates then checked.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpus.duplicates.overlap import SAME, verify
from corpus.duplicates.search import NEIGHBOURS, knn, neighbour_pairs
from corpus.shards.shards import Shards
from engine.features import features
from engine.numerics import numerics
from engine.training.distributed import device
from engine.training.meter import Progress

BATCH = 256
ENLARGED = 64  # px at least, so that the last map of a network for small images has regions to pool over


def _batches(objective: nn.Module, shards: Shards) -> Iterator[Tensor]:
    size = max(ENLARGED, shards.size)
    for rows in torch.arange(len(shards)).split(BATCH):
        images = objective.plain(shards.images(rows).to(device()))
        yield F.interpolate(images, size=size, mode="bilinear") if size > shards.size else images


@numerics()
def learnt_twins(
    objective: nn.Module, posts: Sequence[Shards], test: Shards, k: int = NEIGHBOURS, progress: Progress | None = None
) -> np.ndarray:
    """bool (test images,): which of them a post shows too, scaled, cropped, recompressed or without its colours.

    `posts` are splits of the pretraining shards; `objective` is a network pretrained on them.
    """
    show = progress or (lambda *_: None)
    # the whole of it: what `plain` normalises with has to be where its images are
    objective.to(device(), memory_format=torch.channels_last).eval()
    index = features(objective.backbone, (batch for split in posts for batch in _batches(objective, split)))
    pairs = neighbour_pairs(*knn(index, features(objective.backbone, _batches(objective, test)), k), least=0.0)
    starts = np.cumsum([0, *(len(split) for split in posts)])

    def load(rows: np.ndarray) -> np.ndarray:
        split = np.searchsorted(starts, rows, "right") - 1
        pixels = np.empty((len(rows), test.size, test.size, 3), np.uint8)
        for number in np.unique(split):
            mine = split == number
            pixels[mine] = posts[number].images(rows[mine] - starts[number]).numpy()
        return pixels

    found = np.zeros(len(test), bool)
    parts = np.array_split(pairs, max(1, len(pairs) // 4096))
    for done, part in enumerate(parts):
        show(done, len(parts), "duplicates by the pretrained network")
        scores = verify(load, lambda rows: test.images(rows).numpy(), part[:, 0], part[:, 1])
        found[part[scores >= SAME, 1]] = True
    return found
