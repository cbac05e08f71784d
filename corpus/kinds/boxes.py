"""Boxes: images with annotated objects, each a box and, where known, a mask and keypoints.

COCO JSON (LVIS too), Pascal VOC's XML, YOLO's text and tables are read: docs/annotations.md.
"""

from corpus.records.scenekind import SceneKind


class Boxes(SceneKind):
    """Any number of objects for each image, or none."""

    what = "set of objects"
    columns = {"image": {"read": "jpeg"}, "tags": {"read": "classes", "of": "targets"}}
    example = {
        "width": 64,
        "height": 48,
        "objects": [
            {"label": "dog", "box": [4, 5, 20, 30.5]},
            {"label": "cat", "box": [30, 8, 16, 12], "polygons": [[30, 8, 46, 8, 40, 20]]},
        ],
    }
