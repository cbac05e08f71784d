"""Annotated objects of images as lists of the index: places in px of the image as it is stored.

The boxes, masks and points of an image are scaled by the same two factors, to the size that it is
stored with (corpus/media/kept.py): boxes and points as floats, masks by nearest neighbours, so
that a box may be smaller than a pixel, and the mask of its object empty.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.media.runs import Taken, nearest, runs_of, sampled

NUMBERS = pa.list_(pa.float64())
RUNS = pa.struct({"size": pa.list_(pa.int32()), "counts": pa.string()})
THING = pa.struct(
    {
        "label": pa.string(),
        "box": NUMBERS,
        "area": pa.float64(),
        "crowd": pa.bool_(),
        "polygons": pa.list_(NUMBERS),
        "rle": RUNS,
        "keypoints": NUMBERS,
        "thing": pa.bool_(),
        "difficult": pa.bool_(),
    }
)
# the fields of a record of corpus/records/objects.py that its lists are made of
SHAPES = {
    "id": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "objects": pa.list_(THING),
    "absent": pa.list_(pa.string()),
    "partial": pa.list_(pa.string()),
}
ROWS = 64  # records that are Python objects at a time
Row = dict[str, Any]


def label_lists(table: pa.Table) -> pa.ListArray:
    """The classes of each record's objects, each once, in alphabetical order."""
    objects = table["objects"].combine_chunks()
    found = pa.table(
        {
            "row": pc.list_parent_indices(objects),
            "label": pc.struct_field(objects.flatten(), "label"),
        }
    )
    each = found.group_by(["row", "label"], use_threads=False).aggregate([])
    each = each.sort_by([("row", "ascending"), ("label", "ascending")])
    sizes = np.bincount(each["row"].to_numpy(), minlength=len(table))
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), each["label"].combine_chunks())


def box_lists(table: pa.Table, number: Mapping[str, int]) -> dict[str, pa.Array]:
    """Lists of a set of boxes, of a table of SHAPES and perhaps `sides`."""
    columns: dict[str, list] = {name: [] for name in BOXES}
    for row, scale in _rows(table):
        objects = row["objects"]
        columns["boxes"].append(_boxes(objects, scale))
        columns["box_label"].append([number[one["label"]] for one in objects])
        columns["box_crowd"].append([bool(one["crowd"]) for one in objects])
        columns["box_ignore"].append([bool(one["difficult"]) for one in objects])
        columns["box_area"].append([one["area"] * scale[0] * scale[1] for one in objects])
        columns["masks"].append(_masks(row))
        columns["keypoints"].append(_keypoints(objects, scale))
        columns["negative"].append(_known(row["absent"], number))
        columns["not_exhaustive"].append(_known(row["partial"], number))
        columns["sides"].append(row["sides"])
        columns["original_sides"].append([row["width"], row["height"]])
    return {name: pa.array(columns[name], form) for name, form in BOXES.items()}


def segment_lists(table: pa.Table, number: Mapping[str, int]) -> dict[str, pa.Array]:
    """Lists of a set of panoptic maps, of a table of SHAPES and perhaps `sides`."""
    columns: dict[str, list] = {name: [] for name in SEGMENTS}
    for row, scale in _rows(table):
        objects = row["objects"]
        columns["panoptic_area"].append([one["area"] * scale[0] * scale[1] for one in objects])
        columns["panoptic"].append(_masks(row))
        columns["panoptic_label"].append([number[one["label"]] for one in objects])
        columns["panoptic_crowd"].append([bool(one["crowd"]) for one in objects])
        columns["panoptic_thing"].append([one["thing"] is not False for one in objects])
        columns["sides"].append(row["sides"])
        columns["original_sides"].append([row["width"], row["height"]])
    return {name: pa.array(columns[name], form) for name, form in SEGMENTS.items()}


INTS, FLAGS, FLOATS = (pa.list_(kind) for kind in (pa.int32(), pa.bool_(), pa.float32()))
BINARY = pa.list_(pa.binary())
SIDES = {"sides": INTS, "original_sides": INTS}
BOXES = {
    "boxes": FLOATS,
    "box_label": INTS,
    "box_crowd": FLAGS,
    "box_ignore": FLAGS,
    "box_area": NUMBERS,
    "masks": BINARY,
    "keypoints": FLOATS,
    "negative": INTS,
    "not_exhaustive": INTS,
} | SIDES
SEGMENTS = {
    "panoptic": BINARY,
    "panoptic_label": INTS,
    "panoptic_crowd": FLAGS,
    "panoptic_thing": FLAGS,
    "panoptic_area": NUMBERS,
} | SIDES


def _rows(table: pa.Table) -> Iterator[tuple[Row, tuple[float, float]]]:
    """The records, with the factors of x and y from the original to the stored image."""
    for batch in table.to_batches(ROWS):
        for row in batch.to_pylist():
            row["sides"] = row.get("sides") or [row["width"], row["height"]]
            x, y = row["sides"]
            yield row, (x / row["width"], y / row["height"])


def _boxes(objects: list[Row], scale: tuple[float, float]) -> np.ndarray:
    """float32 (4 x objects,): x1 y1 x2 y2 of each."""
    boxes = np.array([one["box"] for one in objects], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return (boxes * (*scale, *scale)).astype(np.float32).ravel()


def _keypoints(objects: list[Row], scale: tuple[float, float]) -> np.ndarray:
    """float32 (objects x most x 3,): x, y, visibility; zeros of an object that has fewer points."""
    most = max((len(one["keypoints"] or ()) for one in objects), default=0)
    points = np.zeros((len(objects), most), np.float64)
    for place, one in enumerate(objects):
        mine = one["keypoints"] or ()
        points[place, : len(mine)] = mine
    points = points.reshape(-1, 3) * (*scale, 1)
    return points.astype(np.float32).ravel()


def _known(names: list[str] | None, number: Mapping[str, int]) -> list[int]:
    """Numbers of classes; one that no object of the set has is no class of it."""
    return sorted(number[name] for name in names or () if name in number)


def _masks(row: Row) -> list[bytes]:
    """Run lengths of each object at the stored size; empty of one that has a box and no mask."""
    width, height = row["width"], row["height"]
    into = row["sides"][1], row["sides"][0]
    found, runs = [_runs(one, row) for one in row["objects"]], []
    if into == (height, width):
        return found
    taken = nearest(height, width, into)
    for one in found:
        runs.append(_smaller(one, height, width, taken) if one else b"")
    return runs


def _smaller(counts: bytes, height: int, width: int, taken: Taken) -> bytes:
    from pycocotools import mask as rle

    mask = sampled(counts, height, width, taken)
    return rle.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]


def _runs(one: Row, row: Row) -> bytes:
    """Run lengths of an object in the original image; ValueError where they are damaged."""
    width, height = row["width"], row["height"]
    if one["rle"] and one["rle"]["counts"] is not None:
        counts = one["rle"]["counts"].encode()
        try:
            if [*one["rle"]["size"]] != [height, width]:
                raise ValueError("run lengths of another size")
            runs_of(counts, height, width)
        except ValueError as error:
            raise ValueError(
                f"a mask of {one['label']!r} in image {row['id']!r} is damaged ({error}): "
                "correct the source and import it again"
            ) from None
        return counts
    if not one["polygons"]:
        return b""
    from pycocotools import mask as rle

    # what lies far outside would be drawn pixel by pixel
    far = max(width, height)
    parts = [np.clip(part, -far, 2 * far).tolist() for part in one["polygons"]]
    return rle.merge(rle.frPyObjects(parts, height, width))["counts"]
