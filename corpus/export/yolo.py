"""A stored set as YOLO's: labels/<split>/*.txt and data.yaml.

An image whose objects have a mask of one polygon each has polygons, any other has boxes: the format
cannot mix them. It has no place for crowds, which are left out, and for run lengths, keypoints and
ids. Numbers have ten digits.
"""

from pathlib import Path

import yaml

from corpus.export.stored import SPLITS, Categories, Export, FlatNames, Stored
from corpus.records.objects import Scene, Thing


def write_yolo(stored: Stored, out: Path) -> Export:
    """The folder `out`; classes are numbered from 0 in the order of their numbers."""
    categories, names, objects = stored.survey().categories, FlatNames(), 0
    order = sorted(categories.entries, key=lambda entry: entry["id"])
    place = {entry["id"]: i for i, entry in enumerate(order)}
    files = dict.fromkeys(SPLITS, 0)
    for scene in stored:
        folder = out / "labels" / scene.split
        folder.mkdir(parents=True, exist_ok=True)
        lines = _lines(scene, stored, categories, place)
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"{names.of(scene)}.txt").write_text(text, encoding="utf-8")
        files[scene.split] += 1
        objects += len(lines)
    about = {split: f"images/{split}" for split in SPLITS if files[split]}
    about["names"] = {i: str(entry["name"]) for i, entry in enumerate(order)}
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
    (out / "data.yaml").write_text(text, encoding="utf-8")
    images = sum(files.values())
    return Export(images, objects, images + 1, stored.told())


def _lines(
    scene: Scene, stored: Stored, categories: Categories, place: dict[int, int]
) -> list[str]:
    things = [thing for thing in scene.objects if not thing.crowd]
    if len(things) < len(scene.objects):
        stored.left["crowd"] += len(scene.objects) - len(things)
    drawn = bool(things) and all(len(thing.polygons or ()) == 1 for thing in things)
    lines = []
    for thing in things:
        numbers = _polygon(scene, thing) if drawn else _box(scene, thing)
        shown = " ".join(f"{number:.10g}" for number in numbers)
        lines.append(f"{place[categories.of(thing)]} {shown}")
        if not drawn and (thing.polygons or thing.rle):
            stored.left["mask (its box is)"] += 1
        if thing.keypoints:
            stored.left["keypoints (its box is)"] += 1
    return lines


def _box(scene: Scene, thing: Thing) -> list[float]:
    """Centre, width and height of the part within the image, of its sides."""
    x, y, width, height = thing.box
    left, right = max(x, 0.0), min(x + width, float(scene.width))
    top, bottom = max(y, 0.0), min(y + height, float(scene.height))
    wide, high = 2 * scene.width, 2 * scene.height
    centre = [(left + right) / wide, (top + bottom) / high]
    return [*centre, (right - left) / scene.width, (bottom - top) / scene.height]


def _polygon(scene: Scene, thing: Thing) -> list[float]:
    [points] = thing.polygons
    sides = (scene.width, scene.height)
    return [min(max(value / sides[i % 2], 0.0), 1.0) for i, value in enumerate(points)]
