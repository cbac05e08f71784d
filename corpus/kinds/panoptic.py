"""Panoptic: images of which each pixel belongs to one segment, a thing or stuff, or to none.

COCO's panoptic PNG and JSON are read (corpus/sources/panopticpng.py). The map is stored as a mask
of each segment, which is exact; the PNG is made again for an export.
"""

from corpus.records.scenekind import SceneKind


class Panoptic(SceneKind):
    """Segments that do not overlap."""

    what = "set of segments"
    columns = {"image": {"read": "jpeg"}, "tags": {"read": "classes", "of": "targets"}}
    example = {
        "width": 4,
        "height": 2,
        "objects": [
            {"id": 7, "label": "sky", "rle": {"size": [2, 4], "counts": [0, 4, 4]}, "thing": False},
            {"id": 9, "label": "dog", "rle": {"size": [2, 4], "counts": [4, 2, 2]}},
        ],
    }
