"""What the kinds boxes and panoptic share: a record is an image with its objects or segments.

A table may hold them too: columns image, width, height and objects, a list (or JSON text) of
{"label", "box": [x, y, width, height]} and, where known, the other fields of Thing.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.records.checking import checked_size, checked_thing
from corpus.records.kind import BaseKind
from corpus.records.objects import Scene, Thing
from corpus.records.record import Record
from corpus.records.spelling import spelled

RLE = pa.struct({"size": pa.list_(pa.int32()), "counts": pa.string()})
OBJECT = pa.struct(
    {
        "id": pa.int64(),
        "label": pa.string(),
        "box": pa.list_(pa.float64()),
        "area": pa.float64(),
        "crowd": pa.bool_(),
        "polygons": pa.list_(pa.list_(pa.float64())),
        "rle": RLE,
        "keypoints": pa.list_(pa.float64()),
        "thing": pa.bool_(),
        "difficult": pa.bool_(),
    }
)
NAMES = pa.list_(pa.string())
MAX_OBJECTS = 100_000  # of one image


class SceneKind(BaseKind):
    """Objects or segments of each image, or none."""

    record = Scene
    needed = (("objects",), ("width",), ("height",))
    wanted = frozenset({"objects", "width", "height", "absent", "partial"})
    fields = {  # noqa: RUF012 (as the kinds have it)
        "objects": pa.list_(OBJECT),
        "width": pa.int32(),
        "height": pa.int32(),
        "absent": NAMES,
        "partial": NAMES,
    }
    least = 1
    sized = True
    bare = "no object"

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """ValueError for the first object that is none: what reads annotations sorts these out."""
        width, height = checked_size(raw.get("width"), raw.get("height"))
        objects = _listed(raw.get("objects"))
        if objects is None:
            raise ValueError("no objects: write [] where the image has none")
        if len(objects) > MAX_OBJECTS:
            raise ValueError(f"too many objects: {len(objects):,}, allowed are {MAX_OBJECTS:,}")
        things = []
        for number, one in enumerate(objects, 1):
            known = isinstance(one, Thing)
            things.append(one if known else checked_thing(one, width, height, number))
        if len({thing.id for thing in things}) < len(things):
            raise ValueError("two objects have one id")
        found = {"width": width, "height": height, "objects": things}
        for name in ("absent", "partial"):
            found[name] = sorted({*map(spelled, map(str, _listed(raw.get(name)) or ()))})
        return found | {name: raw.get(name) for name in ("number", "file")}

    def check_image(self, record: Scene, width: int, height: int) -> None:
        if (width, height) != (record.width, record.height):
            other = f"{width} x {height} px, and its annotations are of"
            turned = (height, width) == (record.width, record.height)
            why = "; EXIF turns it: save it upright or without EXIF" if turned else ""
            raise ValueError(
                f"image of another size: {other} {record.width} x {record.height}{why}"
            )

    def words(self, record: Record) -> tuple[str, ...]:
        return tuple(sorted({thing.label for thing in record.objects}))

    def shown(self, value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return f"{len(value):,} ({', '.join(sorted({one['label'] for one in value}))})"
        return repr(value)

    def classes(self, table: pa.Table) -> pa.ListArray:
        """The classes of each image's objects, each once, in alphabetical order."""
        found = []
        for objects in table["objects"].to_pylist():
            found.append(sorted({one["label"] for one in objects}))
        ends = np.cumsum([0, *map(len, found)]).astype(np.int32)
        names = [name for each in found for name in each]
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(names, pa.string()))


def _listed(value: Any) -> list[Any] | None:
    """A cell that is a list, or a list written as JSON; None for any other."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None
