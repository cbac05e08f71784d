"""What is measured of a fine-tuned model: its metric on the test split, what it costs to run.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too
count as wrong in a lower bound of the accuracy. Metrics may be computed in several processes at a
time (flows/running/pool.py); costs are measured alone.
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
from engine.inference.scenes import seen_at
from engine.measure.complexity import measure
from engine.measure.profile import profile_network
from engine.training.predicting import PLAIN, metric_of, policy_of, scored
from engine.twins.learnt import BATCH, indexed, learnt_twins
from flows.measuring.alike import usual_size
from flows.measuring.answers import answered, write_predictions
from flows.measuring.predictions import Predicted
from flows.measuring.scenecosts import on_images, seen_of
from flows.measuring.scenedetails import kind_of
from metrics.blocks.metric import Metric

# each row of costs is measured until quiet repeats agree, for so many times `seconds` at most
PATIENCE = 7.0
SPLITS = ("train", "val")  # of the posts
IMAGE = 3  # axes of one
RUNS = 50  # of a measurement at the most


def cost(
    weights: Path,
    size: int,
    seconds: float = 0.3,
    policy: dict[str, Any] = PLAIN,
    folder: Path | None = None,
    **measured: Any,
) -> dict[str, Any]:
    """Params, flops, activations, latency, images/s and peak memory of a network and all its seeds.

    folder: of the test images, on which the latency of networks of scenes is measured.

    On a CPU by one thread, as a search measures latency. Of a network of clips an image is a clip,
    and the record has the shape of its `input`; of a policy that asks `views` of a video each,
    `latency_video_p50_ms` is of all of them, one after the other.
    """
    module, _ = load_network(weights)
    shape, ask = module.input_shape(size), policy_of({"policy": policy})
    shape = ask.shape(shape) if hasattr(ask, "shape") else shape
    # without the objective, which only trains
    deployed = nn.Sequential(module.backbone, module.head)
    trained = any(p.requires_grad for p in module.head.parameters())  # nearest neighbours are not
    seen, images = None, {}
    if folder is not None and getattr(module, "scenes", False):
        seen = seen_of(module, samples_of(module, open_split(folder, "test"), size))
        images = {"images": seen.on_one_canvas()}
        shape = tuple(images["images"].shape[1:])
    # a small network gains nothing by more threads, and several tell more of what else the machine
    # does than of the network
    with torch_threads(1):
        limits = {"seconds": seconds, "patience": PATIENCE * seconds}
        about = limits | measured | images
        found = profile_network(deployed, shape, device(), training=trained, **about)
        if seen:
            found |= on_images(module, ask, seen, **limits, runs=measured.get("runs", RUNS))
    if len(shape) > IMAGE:
        found["input"] = list(shape)
    views = getattr(ask, "count", 1)
    if views > 1:
        found |= {"views": views, "latency_video_p50_ms": views * found["latency_p50_ms"]}
    return measure(deployed, shape, **images) | found


def tested(
    weights: Path,
    folder: Path,
    size: int,
    duplicates: Set[str],
    task: dict[str, Any],
    validated: float | None = None,
) -> tuple[dict[str, Any], Predicted]:
    """The numbers of the task's metric on the test split; what was predicted.

    Images are resized to `size` pixels where they are stored with others; the number on the
    validation split is at that size, too. `validated`: what it is at the task's resolution, or the
    size that they are stored with, where that has been measured.
    """
    module, shards = load_network(weights)[0], open_split(folder, "test")
    metric, policy = metric_of(task), policy_of(task)
    one = answered(module, samples_of(module, shards, size), metric, policy)
    name = metric.headline
    if validated is None or size != usual_size(task, shards.size):
        val = samples_of(module, open_split(folder, "val"), size)
        validated = scored(module, val, metric_of(task), policy).compute()[name]
    own = (name, f"{name}_low", f"{name}_high", "samples")
    found = {
        "best": one.numbers[name],
        "values": {key: value for key, value in one.numbers.items() if key not in own},
        "samples": one.numbers["samples"],
        "val": validated,
    }
    if bounded(metric, one):
        # in the order of the test split, which is that of the predictions
        alone = np.array([key not in duplicates for key in shards.ids])
        found["best_bound"] = float((one.value * alone).mean())
    about = {"headline": name, "higher": metric.higher, "unit": metric.unit}
    return about | found, one


def bounded(metric: Metric, one: Predicted) -> bool:
    """Whether there is a lower bound: duplicates get 0, the worst of a number from 0 to 100 %."""
    known = one.value is not None and not np.isnan(one.value).any()
    return known and metric.higher and metric.unit == "%"


def samples_of(module: nn.Module, shards: Shards, size: int) -> Rows:
    """All rows of a split, as a network is tested on them.

    Images that keep their aspect get `size` px on their shorter side, by the objective's views.
    """
    if not getattr(module, "scenes", False):
        return Rows(shards, module.reads, size=size)
    seen_at(module, size, shards.size)
    return Rows(shards, module.reads)


class Images(NamedTuple):
    """The test samples of a labelled set: ids, labels int16 (n,) where each has one class, pixels
    that they are stored with, names of classes; how many training labels each class has; whether
    they have pixels, and are square images."""

    ids: list[str]
    label: np.ndarray | None
    size: int
    names: list[str]
    train: dict[str, int]
    pixels: bool
    still: bool


def images(folder: Path) -> Images:
    """The test samples of a labelled set."""
    test, train = open_split(folder, "test"), open_split(folder, "train")
    labels = None
    if "label" in test.columns:
        labels = test.labels(torch.arange(len(test))).short().numpy()
    counts = dict(zip(train.names, class_counts(train), strict=False))
    square = test.columns.get("image", {}).get("read") != "picture"
    still = "image" in test.columns and square
    pixels = "image" in test.columns or "clip" in test.columns
    return Images(list(test.ids), labels, test.size, list(test.names), counts, pixels, still)


def class_counts(shards: Shards) -> list[int]:
    """How many samples of a split each class has; none where there are no classes."""
    if "label" in shards.columns:
        labels = shards.labels(torch.arange(len(shards)))
        return labels.bincount(minlength=len(shards.names)).tolist()
    if "tags" not in shards.columns:
        return []
    counts = torch.zeros(len(shards.names))
    # in parts: multi-hot rows of a large set do not fit into memory
    for some in torch.arange(len(shards)).split(BATCH):
        counts += shards.read(some, "tags").sum(0)
    return counts.int().tolist()


def predict_test(weights: Path, folder: Path, size: int, task: dict[str, Any], file: Path) -> None:
    """Write what a network predicts of the test split, with what is true of it."""
    module = load_network(weights)[0]
    samples = samples_of(module, open_split(folder, "test"), size)
    write_predictions(file, module, samples, policy_of(task), kind_of(metric_of(task)))


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
