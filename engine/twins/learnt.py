"""Test images that posts hold in another form: neighbours by features, checked in their pixels.

Mahajan et al. 2018 (arXiv 1805.00932): k = 21 nearest neighbours by R-MAC features, the candidates
then checked. Of images alone: videos are told by their frames' fingerprints
(corpus/duplicates/videos.py).
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpus.duplicates.overlap import SAME, verify_pairs
from corpus.duplicates.search import NEIGHBOURS, knn, neighbour_pairs
from corpus.progress import Progress, unseen
from corpus.reading.shards import Shards
from engine.core.device import device
from engine.core.layout import placed
from engine.core.numerics import numerics
from engine.twins.features import rmac_features

BATCH = 256
# px at least, so that the last map of a network for small images has regions to pool over
ENLARGED = 64


def _batches(objective: nn.Module, shards: Shards, rows: Tensor | None = None) -> Iterator[Tensor]:
    # a network of one size takes no other
    size = getattr(objective.backbone, "resolution", None) or max(ENLARGED, shards.size)
    rows = torch.arange(len(shards)) if rows is None else rows
    for batch in rows.split(BATCH):
        images = objective.plain(shards.images(batch).to(device()))
        yield F.interpolate(images, size=size, mode="bilinear") if size != shards.size else images


@numerics()
def indexed(objective: nn.Module, shards: Shards, rows: Tensor | None = None) -> Tensor:
    """R-MAC features (n, channels) of these rows, all when None: for the search of neighbours."""
    # the whole of it: what `plain` normalises with has to be where its images are
    placed(objective, device()).eval()
    return rmac_features(objective.backbone, _batches(objective, shards, rows))


@numerics()
def learnt_twins(
    objective: nn.Module,
    posts: Sequence[Shards],
    test: Shards,
    k: int = NEIGHBOURS,
    progress: Progress | None = None,
    index: Tensor | None = None,
    rows: Tensor | None = None,
) -> np.ndarray:
    """int64 (rows,): the post that shows a test image too, scaled, cropped, recompressed or grey.

    The best of them, as its row in all `posts`; -1: there is none.

    `posts` are splits of the pretraining shards; `objective` is a network pretrained on them,
    `index` what `indexed` made of all of them, if that is at hand. `rows`: of the test images, all
    when None.
    """
    rows = torch.arange(len(test)) if rows is None else rows
    if index is None:
        index = torch.cat([indexed(objective, split) for split in posts])
    # however unlike: features only propose, and pixels decide
    pairs = neighbour_pairs(*knn(index, indexed(objective, test, rows), k), least=0.0)

    found, best = np.full(len(rows), -1, np.int64), np.full(len(rows), SAME, np.float32)
    for part, scores in _verified(pairs, posts, test, rows, progress or unseen):
        for (post, image), score in zip(part.tolist(), scores.tolist(), strict=True):
            # the first pair may have just the score that `best` begins with
            if score > best[image] or (found[image] < 0 and score >= SAME):
                found[image], best[image] = post, score
    return found


def _verified(
    pairs: np.ndarray, posts: Sequence[Shards], test: Shards, rows: Tensor, show: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of the pairs (post, test image) with the scores of their pixels."""
    post_pixels = partial(_post_pixels, posts, test.size)
    # in parts for the progress alone: verify_pairs has batches of its own
    parts = np.array_split(pairs, max(1, len(pairs) // 4096))
    for done, part in enumerate(parts):
        show(done, len(parts), "duplicates by the pretrained network")
        yield (
            part,
            verify_pairs(
                post_pixels, lambda some: test.images(rows[some]).numpy(), part[:, 0], part[:, 1]
            ),
        )


def _post_pixels(posts: Sequence[Shards], size: int, rows: np.ndarray) -> np.ndarray:
    """uint8 (rows, size, size, 3): images of posts by their rows in all splits together."""
    starts = np.cumsum([0, *(len(split) for split in posts)])
    split = np.searchsorted(starts, rows, "right") - 1
    pixels = np.empty((len(rows), size, size, 3), np.uint8)
    for number in np.unique(split):
        mine = split == number
        pixels[mine] = posts[number].images(rows[mine] - starts[number]).numpy()
    return pixels
