"""A stored set as COCO's JSON: a file for each split, written entry by entry.

Ids of images and annotations are those of the source where each occurs once in the file, and 1, 2,
... where not. Licences, captions, addresses and dates of a source are not stored. Run lengths are
numbers where the source had numbers, else text; an object without a mask has an empty segmentation.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from corpus.export.stored import SPLITS, Categories, Export, Stored, file_of, numbered
from corpus.media.runs import run_lengths
from corpus.records.objects import Scene, Thing

Entries = Iterator[dict[str, Any]]
FEDERATED = {"absent": "neg_category_ids", "partial": "not_exhaustive_category_ids"}


def write_coco(stored: Stored, out: Path) -> Export:
    """annotations/instances_<split>.json in the folder `out`; or `out` itself, if it ends in .json.

    All splits are in that one file then.
    """
    return write_files(stored, out, "instances", lambda *file: _annotations(stored, *file))


def write_files(
    stored: Stored,
    out: Path,
    stem: str,
    annotations: Callable[[Callable[[], Iterator[Scene]], list[int], Categories, Path], Entries],
) -> Export:
    """The JSON files of a set, with what `annotations` makes of the scenes of each.

    It is given the scenes of the file, the ids of these images, the classes, and the file.
    """
    categories, files, images, objects = stored.categories(), 0, 0, 0
    for split in [None] if out.suffix == ".json" else SPLITS:
        path = out if split is None else out / "annotations" / f"{stem}_{split}.json"

        def scenes(split: str | None = split) -> Iterator[Scene]:
            return (scene for scene in stored if split in (None, scene.split))

        numbers, own = numbered([scene.number for scene in scenes()])
        if not numbers:
            continue
        if not own and any(scene.number is not None for scene in scenes()):
            stored.notes.append(f"{path.name}: ids of images are not unique, given anew from 1")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.write("{\n")
            images += _list(file, "images", _images(scenes(), numbers, categories, stored))
            file.write(",\n")
            objects += _list(file, "annotations", annotations(scenes, numbers, categories, path))
            file.write(",\n")
            _list(file, "categories", iter(categories.entries))
            file.write("}\n")
        files += 1
    return Export(images, objects, files, stored.told())


def _list(file: TextIO, name: str, entries: Entries) -> int:
    """Writes a list, an entry a line; returns their number."""
    count = 0
    file.write(f'"{name}": [')
    for entry in entries:
        file.write(",\n" if count else "\n")
        file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False))
        count += 1
    file.write("]")
    return count


def _images(
    scenes: Iterator[Scene], numbers: list[int], categories: Categories, stored: Stored
) -> Entries:
    federated = any(scene.absent or scene.partial for scene in stored)
    for scene, number in zip(scenes, numbers, strict=True):
        entry: dict[str, Any] = {"id": number, "file_name": file_of(scene)}
        entry |= {"width": scene.width, "height": scene.height}
        if federated:
            for field, key in FEDERATED.items():
                entry[key] = sorted(categories.number[name] for name in getattr(scene, field))
        yield entry


def _annotations(
    stored: Stored,
    scenes: Callable[[], Iterator[Scene]],
    numbers: list[int],
    categories: Categories,
    path: Path,
) -> Entries:
    ids, own = numbered([thing.id for scene in scenes() for thing in scene.objects])
    if not own:
        told = "ids of annotations are not unique, given anew from 1"
        stored.notes.append(f"{path.name}: {told}")
    following = iter(ids)
    for scene, image in zip(scenes(), numbers, strict=True):
        for thing in scene.objects:
            yield annotation(thing, next(following), image, categories.of(thing))


def annotation(thing: Thing, number: int, image: int, category: int) -> dict[str, Any]:
    """An object as COCO writes it."""
    entry: dict[str, Any] = {"id": number, "image_id": image, "category_id": category}
    entry |= {"bbox": [*thing.box], "area": thing.area, "iscrowd": int(thing.crowd)}
    entry["segmentation"] = thing.polygons or []
    if thing.rle is not None:
        counts: Any = thing.rle.counts
        counts = run_lengths(counts.encode()).tolist() if thing.rle.plain else counts
        entry["segmentation"] = {"size": [*thing.rle.size], "counts": counts}
    if thing.keypoints is not None:
        entry["keypoints"] = thing.keypoints
        entry["num_keypoints"] = sum(1 for seen in thing.keypoints[2::3] if seen)
    return entry
