"""What is measured of a fine-tuned model: its accuracy on the test split, what it costs to run.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too
count as wrong in a lower bound of the accuracy. Accuracies may be computed in several processes at
a time (flows/running/pool.py); costs are measured alone.
"""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from corpus.reading.shards import Shards
from engine.core import checkpoint
from engine.core.device import device
from engine.core.network import load_network
from engine.core.samples import Rows, open_split
from engine.core.threads import torch_threads
from engine.measure.complexity import measure
from engine.measure.profile import profile_network
from engine.training.accuracy import measure_accuracy
from engine.twins.learnt import BATCH, indexed, learnt_twins
from flows.measuring.answers import answered
from flows.measuring.predictions import Predicted

# each row of costs is measured until quiet repeats agree, for so many times `seconds` at most
PATIENCE = 7.0
SPLITS = ("train", "val")  # of the posts


def cost(weights: Path, size: int, seconds: float = 0.3, **measured: Any) -> dict[str, Any]:
    """Params, flops, activations, latency, images/s and peak memory of a network and all its seeds.

    On a CPU by one thread, as a search measures latency.
    """
    module, _ = load_network(weights)
    # without the objective, which only trains
    deployed = nn.Sequential(module.backbone, module.head)
    trained = any(p.requires_grad for p in module.head.parameters())  # nearest neighbours are not
    # a small network gains nothing by more threads, and several tell more of what else the machine
    # does than of the network
    with torch_threads(1):
        limits = {"seconds": seconds, "patience": PATIENCE * seconds}
        found = profile_network(deployed, size, device(), training=trained, **limits, **measured)
    return measure(deployed, (3, size, size)) | found


def tested(
    weights: Path,
    folder: Path,
    size: int,
    duplicates: Set[str],
    validated: float | None = None,
) -> tuple[dict[str, Any], Predicted]:
    """Top-1 and top-5 on the test split, top-1's lower bound, in percent; what was predicted.

    Images are resized to `size` pixels where they are stored with others; validation top-1 is at
    that size, too. `validated`: what it is at the size that they are stored with, where that has
    been measured.
    """
    module, shards = load_network(weights)[0], open_split(folder, "test")
    metric, table = answered(module, Rows(shards, "labels", size=size))
    if validated is None or size != shards.size:
        val = Rows(open_split(folder, "val"), "labels", size=size)
        validated = measure_accuracy(module, val).compute()["top1"]
    # in the order of the test split, which is that of the predictions
    alone = torch.tensor([key not in duplicates for key in shards.ids])
    bound = 100 * int(((metric.each() > 0) & alone).sum()) / len(alone)
    numbers = metric.compute()
    found = {key: numbers[key] for key in ("top1", "top5", "samples")}
    return found | {"top1_lower_bound": bound, "val_top1": validated}, table


class Images(NamedTuple):
    """The test images of a labelled set: ids, labels int16 (n,), pixels that they are stored with,
    names of classes; and how many training labels each class has."""

    ids: list[str]
    label: np.ndarray
    size: int
    names: list[str]
    train: dict[str, int]


def images(folder: Path) -> Images:
    """The test images of a labelled set."""
    test, train = open_split(folder, "test"), open_split(folder, "train")
    counts = train.labels(torch.arange(len(train))).bincount(minlength=len(train.names)).tolist()
    labels = test.labels(torch.arange(len(test))).short().numpy()
    by_class = dict(zip(train.names, counts, strict=True))
    return Images(list(test.ids), labels, test.size, list(test.names), by_class)


def parts(posts: Path, count: int) -> list[tuple[str, int, int]]:
    """(split, first, last) of about `count` parts of the posts.

    Whole batches, so that all features stay the same.
    """
    found = []
    for split in SPLITS:
        total = len(open_split(posts, split))
        # whole batches: a feature has the same bits however the posts are parted
        each = BATCH * max(1, -(-total // (count * BATCH)))
        found += [(split, first, min(first + each, total)) for first in range(0, total, each)]
    return found


def search_features(weights: Path, posts: Path, part: tuple[str, int, int], file: Path) -> None:
    """R-MAC features of a part of the posts by a pretrained network, kept in a file."""
    split, first, last = part
    found = indexed(load_network(weights)[0], Shards(posts, split), torch.arange(first, last))
    checkpoint.save_tensors(file, {"features": found}, {})


def learnt(
    weights: Path,
    posts: Path,
    files: list[Path],
    folder: Path,
    first: int,
    last: int,
) -> list[tuple[str, str]]:
    """(id of a test image, id of the post that shows it best), as a pretrained network tells.

    files: the features of all posts, in their order. first, last: of the test images.
    """
    test = open_split(folder, "test")
    rows = torch.arange(first, min(last, len(test)))
    index = torch.cat([checkpoint.load_tensors(file)[0]["features"] for file in files])
    stores = [Shards(posts, split) for split in SPLITS]
    found = learnt_twins(load_network(weights)[0], stores, test, index=index, rows=rows)
    pairs = zip(rows.tolist(), found.tolist(), strict=True)
    return [(test.ids[row], _id(stores, post)) for row, post in pairs if post >= 0]


def _id(stores: Sequence[Shards], row: int) -> str:
    """The id of a row of several splits, one after the other."""
    for store in stores:
        if row < len(store):
            return store.ids[row]
        row -= len(store)
    raise AssertionError(f"row {row} beyond the last of the posts")
