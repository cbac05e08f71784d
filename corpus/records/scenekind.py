"""What the kinds boxes and panoptic share: a record is an image with its objects or segments.

A table may hold them too: columns image, width, height and objects, a list (or JSON text) of
{"label", "box": [x, y, width, height]} and, where known, the other fields of Thing.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa

from corpus.records.checking import checked_size, checked_thing
from corpus.records.kind import BaseKind
from corpus.records.objects import Scene, Thing
from corpus.records.record import Record
from corpus.records.shapes import SHAPES, label_lists
from corpus.records.spelling import spelled

MAX_OBJECTS = 100_000  # of one image


class SceneKind(BaseKind):
    """Objects or segments of each image, or none."""

    record = Scene
    needed = (("objects",), ("width",), ("height",))
    wanted = frozenset({"objects", "width", "height", "absent", "partial"})
    fields: ClassVar = {"objects": pa.list_(pa.struct({"label": pa.string()}))}
    shapes = SHAPES
    square = False
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
        return label_lists(table)


def _listed(value: Any) -> list[Any] | None:
    """A cell that is a list, or a list written as JSON; None for any other."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None
