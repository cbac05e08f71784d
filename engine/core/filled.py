"""What annotated images come with, filled in for those whose objects a network found.

A hard label is one that a person could have given (Radosavovic et al. 2018, arXiv 1712.04440,
section 3): none is a crowd, none is to be ignored, and no class is said to be absent or partial.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["lacking", "of_objects"]

Columns = Mapping[str, Any]  # by name, a tensor of each sample by its row
OBJECTS = ("box", "mask", "panoptic", "keypoints", "semantic")  # how names of such columns begin


def of_objects(columns: Collection[str]) -> bool:
    """Whether these columns are of objects or segments."""
    return "boxes" in columns or "panoptic_label" in columns


def lacking(
    name: str, columns: Columns, reads: Collection[str], file: Path
) -> Callable[[int], Tensor] | None:
    """(row of the file) -> what a column that it has not is of that sample.

    None where the shards have it, as it says nothing of objects. ValueError where a network that
    did not find it cannot be learnt from.
    """
    needed, made = FILLED.get(name, ((), None))
    # masks that are not known are said to be so beside them
    if made and columns.keys() >= {*needed} and (name != "masks" or "masks_known" in reads):
        return lambda row: made(columns, row)
    if name.startswith(OBJECTS):
        raise ValueError(
            f"{file} has no {name} of its images, only {', '.join(columns)}: let a network label "
            "them that finds it, or take an objective that does not read it"
        )
    return None


def _no_flags(of: str) -> Callable[[Columns, int], Tensor]:
    return lambda columns, row: torch.zeros(len(columns[of][row]), dtype=torch.bool)


def _no_classes(columns: Columns, row: int) -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


def _known(columns: Columns, row: int) -> Tensor:
    """bool (m,): masks of all, or of none."""
    return torch.full((len(columns["boxes"][row]),), "masks" in columns)


def _no_masks(columns: Columns, row: int) -> Tensor:
    """bool (m, h, w), of which no pixel is known."""
    width, height = columns["sides"][row].tolist()
    return torch.zeros(len(columns["boxes"][row]), height, width, dtype=torch.bool)


def _areas(columns: Columns, row: int) -> Tensor:
    """float64 (m,)."""
    boxes = columns["boxes"][row]
    return (boxes[:, 2:] - boxes[:, :2]).double().prod(1)


def _segment_areas(columns: Columns, row: int) -> Tensor:
    """float64 (s,)."""
    numbers, count = columns["panoptic"][row].flatten(), len(columns["panoptic_label"][row])
    return numbers.bincount(minlength=count + 1)[1:].double()


# name -> (the columns that it is made of, (columns, row) -> what it is)
FILLED: dict[str, tuple[tuple[str, ...], Callable[[Columns, int], Tensor]]] = {
    "box_crowd": (("boxes",), _no_flags("boxes")),
    "box_ignore": (("boxes",), _no_flags("boxes")),
    "box_area": (("boxes",), _areas),
    "masks": (("boxes", "sides"), _no_masks),
    "masks_known": (("boxes",), _known),
    "negative": ((), _no_classes),
    "not_exhaustive": ((), _no_classes),
    "panoptic_crowd": (("panoptic_label",), _no_flags("panoptic_label")),
    "panoptic_thing": (("panoptic_label",), _no_flags("panoptic_label")),
    "panoptic_area": (("panoptic", "panoptic_label"), _segment_areas),
    "panoptic_things": (("panoptic_label",), _no_classes),
}
