"""A batch: columns by name, a row per sample.

What a sample has differs from task to task, so that a batch is a plain dictionary. The names are
few and fixed: COLUMNS says what each of them holds, and a test holds the plug-ins to it. A target
that some samples lack has a boolean column `<name>_known` beside it; without one all have it. Of
`masks` it is a list of bool (m,), of which objects the mask is known: those of others are empty.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor

Column = Tensor | list[Tensor]  # a list where rows differ in size
Batch = dict[str, Column]

KNOWN = "_known"
COLUMNS = {
    # of a set whose images keep their aspect a list of uint8 (h, w, 3)
    "image": "uint8 (n, h, w, 3) of a data set; float (n, 3, h, w) normalised as a view, or views",
    # of several views of each sample (n, v, 3, h, w); views of clips are (n, 3, t, h, w), and
    # (n, v, 3, t, h, w)
    "clip": "a list of uint8 (k, t, h, w, 3): k clips of t frames of each video, aspect kept",
    "small": "float (n, v, 3, h, w), normalised views of small parts",
    "order": "int64 (n,), the sample of the step whose key is computed in this row, when shuffled",
    "regions": "float (n, v, b, 4), boxes of an image in each of its views, in px of the view",
    "places": "float (n, v, b, 4), what is seen of them there, in px of the image",
    "visible": "bool (n, v, b), whether enough of a box is seen to be compared",
    "label": "int64 (n,), the class; float (n, classes), its probabilities, where images are mixed",
    "hashtags": "float32 (n, vocabulary), 1 at each hashtag of a post",
    "tags": "float32 (n, classes), 1 at each class that an image shows, any number of them",
    "soft": "float32 (n, classes), probabilities that another network gave",
    "vector": "float32 (n, d), numbers of a sample in the data set's own unit",
    "scores": "float32 (n, classes), a network's, higher is likelier: logits or their logarithms",
    "probabilities": "float32 (n, classes), of 0 to 1",
    "confidence": "float32 (n,), of 0 to 1: how sure a network is of its answer",
    "features": "float32 (n, d), a network's, pooled",
    "boxes": "a list of float (m, 4), of each object x1, y1, x2, y2 in px of the image",
    "box_sides": "a list of float64 (m, 2), width and height of boxes where a file has those",
    "box_label": "a list of int64 (m,), the class of each object",
    "box_score": "a list of float (m,), of what a network found: higher is likelier",
    "box_crowd": "a list of bool (m,), whether a box holds a crowd, which may be found many times",
    "box_ignore": "a list of bool (m,), whether an object is neither to be found nor to be missed",
    "box_area": "a list of float64 (m,), px of each object as it was annotated",
    "masks": "a list of bool (m, h, w), or of m run lengths, {size, counts}, of each object",
    "keypoints": "a list of float (m, k, 3): x, y in px, 0 unlabelled, 1 hidden or 2 visible",
    "negative": "a list of int64 (any,), classes of which an image is known to have no object",
    "not_exhaustive": "a list of int64 (any,), classes of which not every object has a box",
    "frequency": "a list of int64 (classes,), the same for all: 0 rare, 1 common, 2 frequent class",
    "panoptic": "a list of int32 (h, w): s + 1 where the s-th segment is, or its id; 0: none is",
    "panoptic_id": "a list of int64 (s,), ids of the segments in the map, of 1 to 2^24 - 1",
    "panoptic_area": "a list of float64 (s,), px of each segment as it was annotated",
    "panoptic_things": "a list of int64 (any,), the classes of which all segments are countable",
    "panoptic_label": "a list of int64 (s,), the class of each segment",
    "panoptic_crowd": "a list of bool (s,), whether a segment is a crowd",
    "panoptic_thing": "a list of bool (s,), whether a segment is one countable thing, or stuff",
    "content": "int64 (n, 2), height and width of each image in the canvas that it is padded to",
    "sampling": "int64 (n,), a seed of what is sampled of an image's anchors and regions",
    "sides": "a list of int64 (2,), width and height of an image that keeps its aspect, as stored",
    "original_sides": "a list of int64 (2,), width and height that such an image came with",
    "semantic": "a list of uint8 or int64 (h, w), the class of each pixel, 255 where unknown",
    "segments": "a list of float64 (m, 2), start and end in seconds",
    "segment_label": "a list of int64 (m,), the class of each",
    "segment_score": "a list of float64 (m,), of those that a network found",
    "boundaries": "a list of float64 (k,), when a network found one event to end, in seconds",
    "rater_boundaries": "a list of float64 (raters, most), when people did, NaN after their last",
    "duration": "float64 (n,), seconds",
    "agreement": "float64 (n,), of 0 to 1: how far people agree",
    "transcript": "a list of uint8 (k,), what is said, UTF-8",
    "group": "int64 (n,), samples that are no independent ones, as frames of one video",
}


def length(batch: Batch) -> int:
    """How many samples a batch has."""
    return len(next(iter(batch.values())))


def rows(batch: Batch, part: slice) -> Batch:
    """Some neighbouring samples of a batch."""
    return {name: column[part] for name, column in batch.items()}


def each(batch: Batch) -> list[Tensor]:
    """All tensors of a batch."""
    columns = (column if isinstance(column, list) else [column] for column in batch.values())
    return [tensor for column in columns for tensor in column]


def moved(batch: Batch, where: torch.device, pinned: bool = False) -> Batch:
    """The batch on a device; `pinned`: through pinned memory, without waiting for the copy."""

    def one(tensor: Tensor) -> Tensor:
        # only from pinned memory is a copy asynchronous
        return tensor.pin_memory().to(where, non_blocking=True) if pinned else tensor.to(where)

    return {
        name: list(map(one, column)) if isinstance(column, list) else one(column)
        for name, column in batch.items()
    }


def joined(parts: Iterable[Batch]) -> Batch:
    """Batches of the same columns, one after the other; empty without any."""
    whole: dict[str, list] = {}
    for part in parts:
        for name, column in part.items():
            whole.setdefault(name, []).append(column)
    return {name: end_to_end(columns) for name, columns in whole.items()}


def end_to_end(columns: list[Column]) -> Column:
    """Parts of one column, one after the other."""
    if isinstance(columns[0], Tensor):
        return torch.cat(columns)
    return list(itertools.chain.from_iterable(columns))
