"""What is measured of a fine-tuned model: its accuracy on the test split, what it costs to run.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too count as wrong in
a lower bound of the accuracy. Accuracies may be computed in several processes at a time (flows/pool.py); costs are
measured alone.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus.shards.shards import Shards
from engine import checkpoint
from engine.accuracy import accuracy
from engine.accuracy import predicted as predict
from engine.complexity import measure
from engine.network import restore
from engine.profile import profile
from engine.samples import Rows, opened
from engine.threads import threads
from engine.training.distributed import device
from engine.twins import BATCH, indexed, learnt_twins

PATIENCE = 1.0  # seconds that each row of costs waits for a quiet machine
SPLITS = ("train", "val")  # of the posts


def cost(weights: Path, size: int, **measured: Any) -> dict[str, Any]:
    """Params, flops, activations, latency, images/s and peak memory of one network: its seeds share them.

    On a CPU by one thread, as a search measures latency: a small network gains nothing by more, and several threads
    tell more of what else the machine does than of the network.
    """
    module, _ = restore(weights)
    deployed = nn.Sequential(module.backbone, module.head)
    trained = any(p.requires_grad for p in module.head.parameters())  # nearest neighbours are not
    with threads(1):
        found = profile(deployed, size, device(), training=trained, patience=PATIENCE, **measured)
    return measure(deployed, (3, size, size)) | found


def tested(
    weights: Path, folder: Path, size: int, duplicates: set[str], validated: float | None = None
) -> dict[str, Any]:
    """Top-1 and top-5 on the test split with Wilson's 95 % intervals, and top-1's lower bound, in percent.

    Images are resized to `size` pixels where they are stored with others; validation top-1 is at that size, too.
    `validated`: what it is at the size that they are stored with, where that has been measured.
    """
    module, shards = restore(weights)[0], opened(folder, "test")
    metric = accuracy(module, Rows(shards, "labels", size=size))
    if validated is None or size != shards.size:
        validated = accuracy(module, Rows(opened(folder, "val"), "labels", size=size)).compute()["top1"]
    alone = torch.tensor([key not in duplicates for key in shards.ids])
    bound = 100 * int((metric.correct()[:, 0] & alone).sum()) / len(alone)
    return metric.compute() | {"top1_lower_bound": bound, "val_top1": validated}


def predicted(weights: Path, folder: Path, size: int) -> list[tuple[str, str]]:
    """(class, class with the highest score) of every test image."""
    (module, names), shards = restore(weights), opened(folder, "test")
    found = []
    for scores, targets in predict(module, Rows(shards, "labels", size=size)):
        pairs = zip(targets.tolist(), scores.argmax(1).tolist(), strict=True)
        found += [(names[actual], names[guess]) for actual, guess in pairs]
    return found


def images(folder: Path) -> tuple[set[str], int]:
    """Ids of the test images of a labelled set, and the pixels that they are stored with."""
    test = opened(folder, "test")
    return set(test.ids), test.size


def parts(posts: Path, count: int) -> list[tuple[str, int, int]]:
    """(split, first, last) of about `count` parts of the posts; whole batches, so that all features stay the same."""
    found = []
    for split in SPLITS:
        total = len(opened(posts, split))
        each = BATCH * max(1, -(-total // (count * BATCH)))
        found += [(split, first, min(first + each, total)) for first in range(0, total, each)]
    return found


def search_features(weights: Path, posts: Path, part: tuple[str, int, int], file: Path) -> None:
    """R-MAC features of a part of the posts by a pretrained network, kept in a file."""
    split, first, last = part
    found = indexed(restore(weights)[0], Shards(posts, split), torch.arange(first, last))
    checkpoint.save(file, {"features": found}, {})


def learnt(weights: Path, posts: Path, files: list[Path], folder: Path, first: int, last: int) -> set[str]:
    """Ids of the test images that the posts trained on show too, as neighbours by a pretrained network tell.

    files: the features of all posts, in their order. first, last: of the test images.
    """
    test = opened(folder, "test")
    rows = torch.arange(first, min(last, len(test)))
    index = torch.cat([checkpoint.load(file)[0]["features"] for file in files])
    stores = [Shards(posts, split) for split in SPLITS]
    found = learnt_twins(restore(weights)[0], stores, test, index=index, rows=rows)
    return {test.ids[row] for row, twin in zip(rows.tolist(), found.tolist(), strict=True) if twin}
