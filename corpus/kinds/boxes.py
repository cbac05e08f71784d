"""Boxes: images with annotated objects, each a box and, where known, a mask and keypoints.

COCO JSON (LVIS too), Pascal VOC's XML, YOLO's text and tables are read: docs/annotations.md.
"""

from collections.abc import Mapping

import pyarrow as pa

from corpus.records.scenekind import SceneKind
from corpus.records.shapes import box_lists


class Boxes(SceneKind):
    """Any number of objects for each image, or none."""

    what = "set of objects"
    columns = {
        "image": {"read": "picture"},
        "boxes": {"read": "boxes", "of": "boxes"},
        "box_label": {"read": "integers", "of": "box_label"},
        "box_crowd": {"read": "flags", "of": "box_crowd"},
        "box_ignore": {"read": "flags", "of": "box_ignore"},
        "box_area": {"read": "reals", "of": "box_area"},
        "masks": {"read": "masks", "of": "masks", "sides": "sides"},
        "masks_known": {"read": "masks_known", "of": "masks"},
        "keypoints": {"read": "keypoints", "of": "keypoints", "objects": "box_label"},
        "negative": {"read": "integers", "of": "negative"},
        "not_exhaustive": {"read": "integers", "of": "not_exhaustive"},
        "sides": {"read": "integers", "of": "sides"},
        "original_sides": {"read": "integers", "of": "original_sides"},
    }
    example = {
        "width": 64,
        "height": 48,
        "objects": [
            {"label": "dog", "box": [4, 5, 20, 30.5]},
            {"label": "cat", "box": [30, 8, 16, 12], "polygons": [[30, 8, 46, 8, 40, 20]]},
        ],
    }

    def lists(self, table: pa.Table, number: Mapping[str, int]) -> dict[str, pa.Array]:
        return box_lists(table, number)
