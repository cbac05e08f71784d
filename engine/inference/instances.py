"""Which of the objects that a network found are kept as labels.

Radosavovic, Dollár, Girshick, Gkioxari, He 2018, "Data Distillation: Towards Omni-Supervised
Learning", arXiv 1712.04440, section 3: a threshold on the score of detection, so that an unlabelled
image has as many objects on average as a labelled one.
"""

from typing import Any

import torch
from torch import Tensor

from engine.core.batch import Batch, Column
from engine.core.listed import Packed

__all__ = ["matching", "only", "threshold_kept"]


def matching(scores: Tensor, average: float, images: int) -> dict[str, Any]:
    """{"threshold", "average", "wanted"}: the threshold that keeps `average` objects of an image.

    scores: (all,), of all objects found in so many images. wanted: average x images, rounded; the
    threshold is the score of the last of them, from which on objects are kept: where others have
    the same one, more are. Where fewer were found all are kept, and where none is wanted none.
    """
    wanted = round(average * images)
    count = min(wanted, len(scores))
    told = {"average": average, "wanted": wanted}
    if not wanted:
        return {"threshold": None} | told
    best = scores.double().topk(count).values
    return {"threshold": best[-1].item() if count else 0.0} | told


def threshold_kept(
    scores: list[Tensor], threshold: float | None
) -> tuple[list[Tensor], dict[str, Any]]:
    """(which objects of each image are at least as sure, int64 places; numbers of them).

    threshold: None keeps none. The numbers: `found` and `kept` of all, `tied` at the threshold
    itself, `images` and how many of them have `none`.
    """
    bound = float("inf") if threshold is None else threshold
    kept = [torch.nonzero(each.double() >= bound).flatten() for each in scores]
    numbers = {
        "found": sum(map(len, scores)),
        "kept": sum(map(len, kept)),
        "tied": sum(int((each.double() == bound).sum()) for each in scores),
        "images": len(scores),
        "none": sum(not len(each) for each in kept),
    }
    return kept, numbers


def only(predictions: Batch, kept: list[Tensor]) -> Batch:
    """The predictions with these objects of each image."""
    of_objects = [name for name in predictions if name == "masks" or name.startswith("box")]
    return predictions | {name: _some(predictions[name], kept) for name in of_objects}


def _some(column: Column, kept: list[Tensor]) -> list[Tensor | Packed]:
    rows = zip(column, kept, strict=True)
    return [row.some(places) if isinstance(row, Packed) else row[places] for row, places in rows]
