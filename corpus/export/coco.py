"""A stored set as COCO's JSON: a file for each split, written entry by entry.

Ids of images and annotations are those of the source where each occurs once in the file, and 1, 2,
... where not. Licences, captions, addresses and dates of a source are not stored. Run lengths are
numbers where the source had numbers, else text; an object without a mask has an empty segmentation.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from corpus.export.stored import Export, FileIds, Stored, Survey, file_of
from corpus.media.runs import run_lengths
from corpus.records.objects import Scene, Thing

FEDERATED = {"absent": "neg_category_ids", "partial": "not_exhaustive_category_ids"}


class ListFile:
    """A JSON object of lists that is written entry by entry."""

    def __init__(self, path: Path, numbers: Iterable[int], ids: Iterable[int]):
        """`numbers`: ids of its images, `ids`: of its annotations, in the order of the store."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.numbers, self.ids = path, [*numbers], iter(ids)
        self._file = path.open("w", encoding="utf-8")
        self._first, self._any = True, False

    def begin(self, name: str) -> None:
        """Ends the list before it, if there is one."""
        self._file.write("{\n" if self._first else "\n],\n")
        self._file.write(f'"{name}": [')
        self._first, self._any = False, False

    def add(self, entry: dict[str, Any]) -> None:
        """One more entry of the list."""
        self._file.write(",\n" if self._any else "\n")
        self._file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False))
        self._any = True

    def end(self) -> None:
        """Ends the last list."""
        self._file.write("\n]}\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def write_coco(stored: Stored, out: Path) -> Export:
    """annotations/instances_<split>.json in the folder `out`; or `out` itself, if it ends in .json.

    All splits are in that one file then.
    """
    return write_files(stored, out, "instances", _annotations)


def write_files(
    stored: Stored,
    out: Path,
    stem: str,
    annotations: Callable[[Scene, int, ListFile, Survey], Iterator[dict[str, Any]]],
    own_ids: bool = True,
) -> Export:
    """The JSON files of a set, with the `annotations` of each scene and the id of its image.

    own_ids: whether objects have ids in the file, and not in their image alone. The store is read
    three times: for ids and classes, for images, for annotations.
    """
    survey = stored.survey(out.suffix == ".json")
    with ExitStack() as stack:
        files = {}
        for key in survey.files:
            path = out if key == "" else out / "annotations" / f"{stem}_{key}.json"
            file = _file(stored, survey.files[key], path, own_ids)
            files[key] = stack.enter_context(closing(file))
        for scene, image, file in _placed(stored, survey, files, "images"):
            file.add(_image(scene, image, survey))
        for scene, image, file in _placed(stored, survey, files, "annotations"):
            for entry in annotations(scene, image, file, survey):
                file.add(entry)
        for file in files.values():
            file.begin("categories")
            for entry in survey.categories.entries:
                file.add(entry)
            file.end()
    images = sum(len(about.numbers) for about in survey.files.values())
    objects = sum(len(about.ids) for about in survey.files.values())
    return Export(images, objects, len(files), stored.told())


def _file(stored: Stored, about: FileIds, path: Path, own_ids: bool) -> ListFile:
    images = stored.unique(about.numbers, f"{path.name}: ids of images")
    if not own_ids:
        return ListFile(path, images, about.ids)
    return ListFile(path, images, stored.unique(about.ids, f"{path.name}: ids of annotations"))


def _placed(
    stored: Stored, survey: Survey, files: dict[str, ListFile], name: str
) -> Iterator[tuple[Scene, int, ListFile]]:
    """Each scene with its image's id and its file, in which a list of this name begins."""
    numbers = {key: iter(file.numbers) for key, file in files.items()}
    for file in files.values():
        file.begin(name)
    for scene in stored:
        key = survey.key(scene)
        yield scene, next(numbers[key]), files[key]


def _image(scene: Scene, number: int, survey: Survey) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": number, "file_name": file_of(scene)}
    entry |= {"width": scene.width, "height": scene.height}
    if survey.federated:
        for field, key in FEDERATED.items():
            names = getattr(scene, field)
            entry[key] = sorted(survey.categories.number[name] for name in names)
    return entry


def _annotations(
    scene: Scene, image: int, file: ListFile, survey: Survey
) -> Iterator[dict[str, Any]]:
    for thing in scene.objects:
        yield annotation(thing, next(file.ids), image, survey.categories.of(thing))


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
