"""Panoptic: images of which each pixel belongs to one segment, a thing or stuff, or to none.

COCO's panoptic PNG and JSON are read (corpus/sources/panopticpng.py). The map is stored as a mask
of each segment, which is exact; the PNG is made again for an export.
"""

from collections.abc import Mapping

import pyarrow as pa

from corpus.records.scenekind import SceneKind
from corpus.records.shapes import segment_lists


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

    def lists(self, table: pa.Table, number: Mapping[str, int]) -> dict[str, pa.Array]:
        return segment_lists(table, number)
