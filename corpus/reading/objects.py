"""Objects and segments of images by column: boxes, masks, points, panoptic maps.

All are lists, a tensor per image, in px of the image as it is stored. Masks are kept as run lengths
and decoded when they are read: docs/annotations.md has what that takes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from corpus.media.runs import decode_into
from corpus.reading.index import REPAIR

UNKNOWN = ("refuse", "empty")  # masks that are not known


class Stored(Protocol):
    """What these readers need of Shards."""

    folder: Path
    ids: Any

    def pictures(self, indices: np.ndarray) -> list[Tensor]: ...
    def lists(self, column: str) -> Any: ...


def read_picture(stored: Stored, indices: np.ndarray) -> list[Tensor]:
    """Pixels as uint8 (h, w, 3) of each image, whose aspect was kept."""
    return stored.pictures(indices)


def read_boxes(stored: Stored, indices: np.ndarray, of: str) -> list[Tensor]:
    """float32 (m, 4) of each image: x1 y1 x2 y2."""
    values = stored.lists(of)
    rows = ((row, values[row]) for row in indices.tolist())
    return [_shaped(stored, of, row, flat, (-1, 4)) for row, flat in rows]


def read_keypoints(stored: Stored, indices: np.ndarray, of: str, objects: str) -> list[Tensor]:
    """float32 (m, k, 3) of each image: x, y, visibility 0 (not labelled), 1 (hidden), 2 (seen).

    objects: a list column with a value per object. k is that of the image's object with the most.
    """
    values, sizes = stored.lists(of), np.diff(stored.lists(objects).offsets)
    found = []
    for row in indices.tolist():
        flat, count = values[row], int(sizes[row])
        shape = (count, len(flat) // (3 * count) if count else 0, 3)
        found.append(_shaped(stored, of, row, flat, shape))
    return found


def read_integers(stored: Stored, indices: np.ndarray, of: str) -> list[Tensor]:
    """int64 (m,) of each image."""
    values = stored.lists(of)
    return [torch.from_numpy(values[row].astype(np.int64)) for row in indices.tolist()]


def read_flags(stored: Stored, indices: np.ndarray, of: str) -> list[Tensor]:
    """bool (m,) of each image."""
    values = stored.lists(of)
    return [torch.from_numpy(values[row].astype(bool)) for row in indices.tolist()]


def read_reals(stored: Stored, indices: np.ndarray, of: str) -> list[Tensor]:
    """float64 (m,) of each image."""
    values = stored.lists(of)
    return [torch.from_numpy(values[row].astype(np.float64)) for row in indices.tolist()]


def read_masks(
    stored: Stored, indices: np.ndarray, of: str, sides: str, unknown: str = "refuse"
) -> list[Tensor]:
    """bool (m, h, w) of each image.

    sides: the list column of the images' width and height. unknown: what becomes of an object that
    has a box and no mask: "refuse", a ValueError, or "empty", a mask without a pixel.
    """
    if unknown not in UNKNOWN:
        raise ValueError(f"masks: unknown is {unknown!r}, and must be {' or '.join(UNKNOWN)}")
    empty = unknown == "empty"
    return [torch.from_numpy(_masks(stored, row, of, sides, empty)) for row in indices.tolist()]


def read_masks_known(stored: Stored, indices: np.ndarray, of: str) -> list[Tensor]:
    """bool (m,) of each image, whether each object has a mask, in `of`, the list of masks."""
    runs = (stored.lists(of)[row] for row in indices.tolist())
    return [torch.tensor([*map(bool, each)], dtype=torch.bool) for each in runs]


def read_panoptic(stored: Stored, indices: np.ndarray, of: str, sides: str) -> list[Tensor]:
    """int32 (h, w) of each image: s + 1 at each pixel of its s-th segment, 0 where there is none.

    ValueError where segments overlap, or are damaged.
    """
    found = []
    for row in indices.tolist():
        masks = _masks(stored, row, of, sides)
        if (masks.sum(0, dtype=np.int32) > 1).any():
            raise _damaged(stored, row, "its segments overlap")
        numbers = np.arange(1, len(masks) + 1, dtype=np.int32)
        map_ = np.zeros(masks.shape[1:], np.int32)
        for number, mask in zip(numbers, masks, strict=True):
            map_[mask] = number
        found.append(torch.from_numpy(map_))
    return found


def _shaped(stored: Stored, of: str, row: int, flat: np.ndarray, shape: tuple) -> Tensor:
    try:
        return torch.from_numpy(flat.astype(np.float32).reshape(shape))
    except ValueError:
        raise _damaged(stored, row, f"{len(flat)} numbers in its list {of}") from None


def _masks(stored: Stored, row: int, of: str, sides: str, empty: bool = False) -> np.ndarray:
    """bool (m, h, w) of one image; empty: a mask that is not known is one without a pixel."""
    runs = stored.lists(of)[row]
    width, height = stored.lists(sides)[row].tolist()
    masks = np.zeros((len(runs), height, width), bool)
    for place, counts in enumerate(runs):
        if not counts and empty:
            continue
        if not counts:
            raise ValueError(
                f"object {place} of image {stored.ids[row]!r} in {stored.folder} has a box and no "
                "mask: read its boxes alone, or import a source with masks"
            )
        try:
            decode_into(masks[place], counts)
        except ValueError as error:
            raise _damaged(stored, row, f"mask {place}: {error}") from None
    return masks


def _damaged(stored: Stored, row: int, fault: str) -> ValueError:
    key = stored.ids[row]
    return ValueError(
        f"the objects of image {key!r} in {stored.folder} are damaged, {fault}; {REPAIR}"
    )


FORMS: dict[str, Callable[..., list[Tensor]]] = {
    "picture": read_picture,
    "boxes": read_boxes,
    "integers": read_integers,
    "flags": read_flags,
    "reals": read_reals,
    "keypoints": read_keypoints,
    "masks": read_masks,
    "masks_known": read_masks_known,
    "panoptic": read_panoptic,
}
