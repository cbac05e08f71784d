"""The images of a stored set, beside its annotations in the format of others: bytes as they were.

Names are those that the format's annotations have.
"""

from collections.abc import Callable
from pathlib import Path

from corpus.export.stored import FlatNames, Stored, file_of
from corpus.records.objects import Scene


def write_pictures(stored: Stored, out: Path, form: str) -> int:
    """Writes them below `out`; returns their number."""
    flat, count = FlatNames(), 0
    places: dict[str, Callable[[Scene], str]] = {
        "voc": lambda scene: f"JPEGImages/{flat.of(scene)}{Path(scene.image).suffix}",
        "yolo": lambda scene: f"images/{scene.split}/{flat.of(scene)}{Path(scene.image).suffix}",
    }
    place = places.get(form, lambda scene: f"images/{scene.split}/{file_of(scene)}")
    for scene, data in stored.pictures():
        path = out / place(scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        count += 1
    return count
