"""Panoptic: images of which each pixel belongs to one segment, a thing or stuff, or to none.

COCO's panoptic PNG and JSON are read (corpus/sources/panopticpng.py). The map is stored as a mask
of each segment, which is exact; the PNG is made again for an export.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.media.runs import decoded
from corpus.records.objects import Thing
from corpus.records.scenekind import SceneKind
from corpus.records.shapes import segment_lists

LARGEST = (1 << 24) - 1  # id that the three bytes of a pixel hold


class Panoptic(SceneKind):
    """Segments that do not overlap."""

    what = "set of segments"
    columns = {
        "image": {"read": "picture"},
        "panoptic": {"read": "panoptic", "of": "panoptic", "sides": "sides"},
        "panoptic_label": {"read": "integers", "of": "panoptic_label"},
        "panoptic_crowd": {"read": "flags", "of": "panoptic_crowd"},
        "panoptic_thing": {"read": "flags", "of": "panoptic_thing"},
        "panoptic_area": {"read": "reals", "of": "panoptic_area"},
        "sides": {"read": "integers", "of": "sides"},
        "original_sides": {"read": "integers", "of": "original_sides"},
    }
    example = {
        "width": 4,
        "height": 2,
        "objects": [
            {"id": 7, "label": "sky", "rle": {"size": [2, 4], "counts": [0, 4, 4]}, "thing": False},
            {"id": 9, "label": "dog", "rle": {"size": [2, 4], "counts": [4, 2, 2]}},
        ],
    }

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        found = super().described(raw)
        if not all(isinstance(one, Thing) for one in raw["objects"]):  # else read from one map
            _check_map(found["objects"], (found["height"], found["width"]))
        return found

    def lists(self, table: pa.Table, number: Mapping[str, int]) -> dict[str, pa.Array]:
        return segment_lists(table, number)


def _check_map(segments: list[Thing], sides: tuple[int, int]) -> None:
    """ValueError where the segments make no map that a PNG can hold."""
    taken = np.zeros(sides, np.int32)
    for one in segments:
        if not 0 < one.id <= LARGEST:
            raise ValueError(f"segment without an id from 1 to {LARGEST}: {one.id}")
        if one.rle is None:
            raise ValueError(f"segment without a mask: {one.id}")
        inside = decoded(one.rle.counts.encode(), *sides)
        other = int(taken[inside].max(initial=0))
        if other:
            raise ValueError(f"segments that overlap: {other} and {one.id}")
        taken[inside] = one.id
