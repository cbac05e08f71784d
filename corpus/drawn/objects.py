"""Drawn scenes with boxes, masks and panoptic maps of the same objects, exact by construction.

`python -m corpus.drawn.objects FOLDER` writes images and annotations in COCO's formats, to be
imported with `--kind boxes` and `--kind panoptic`; data/ stays as it is. Things are shapes, stuff
is sky, water, grass and sand; masks are of what is seen of an object. Some images have no object,
some a crowd, and some objects of which hardly anything is seen are void. Same seed, same bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from corpus.drawn.concepts import SHAPES
from corpus.drawn.sample import PREFIX, SPLITS
from corpus.drawn.segments import STUFF, Drawn, draw_scene
from corpus.drawn.tagged import TAGGED
from corpus.records.objects import Rle, Scene, Thing
from corpus.sources.users import stream
from corpus.store.write import write_store

OBJECTS = TAGGED + 1  # random stream
Images = tuple[int, int, int]  # of train, val and test
IMAGES = (300, 100, 200)
NUMBERS = {name: number for number, name in enumerate([*SHAPES, *STUFF], 1)}  # of the classes
FIRST = 1000  # number of the first segment: those of a map are ids in its colours, above 255


class Numbered(NamedTuple):
    """One image of the set: its number, name, split, scene, and the id of each segment."""

    number: int
    name: str
    split: str
    scene: Drawn
    ids: list[int]

    @property
    def key(self) -> str:
        """The id of its record."""
        return f"{self.split}/{self.name}"


def draw_images(seed: int, images: Images, size: int) -> Iterator[Numbered]:
    """Images split after split; more of the last split begin with the same ones."""
    number, segment = 0, FIRST
    for place, (split, count) in enumerate(zip(SPLITS, images, strict=True)):
        for index in range(count):
            scene = draw_scene(stream(seed, OBJECTS, place, index), size)
            number += 1
            ids = [segment + 3 * one for one in range(len(scene.segments))]
            segment += 3 * len(ids)
            yield Numbered(number, f"{PREFIX}objects-{split}-{index:05d}.jpg", split, scene, ids)


def _described(mask: np.ndarray) -> tuple[list[int], int]:
    """Box (x, y, width, height) and area of a mask, bool (h, w), that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    box = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    return box, int(mask.sum())


def _runs(mask: np.ndarray) -> list[int]:
    """Uncompressed run lengths, as COCO has those of crowds."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


def _compressed(mask: np.ndarray) -> str:
    from pycocotools import mask as rle

    return rle.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()


def annotations(one: Numbered, stuff: bool) -> Iterator[dict[str, Any]]:
    """COCO's annotations of the objects of an image, of stuff too or not."""
    for place, (key, segment) in enumerate(zip(one.ids, one.scene.segments, strict=True)):
        if not (segment.thing or stuff):
            continue
        mask = one.scene.numbers == place + 1
        box, area = _described(mask)
        counts = _runs(mask) if segment.crowd else _compressed(mask)
        yield {
            "id": key,
            "image_id": one.number,
            "category_id": NUMBERS[segment.label],
            "bbox": box,
            "area": area,
            "iscrowd": int(segment.crowd),
            "segmentation": {"size": [*mask.shape], "counts": counts},
        }


def object_records(
    seed: int, images: Images, size: int, kind: Literal["boxes", "panoptic"]
) -> Iterator[tuple[Scene, bytes]]:
    """Records of a kind, as an import of `write_source` has them, with their images."""
    for one in draw_images(seed, images, size):
        things = []
        for place, (key, segment) in enumerate(zip(one.ids, one.scene.segments, strict=True)):
            if kind == "boxes" and not segment.thing:
                continue
            mask = one.scene.numbers == place + 1
            box, area = _described(mask)
            plain = segment.crowd and kind == "boxes"
            rle = Rle(size=mask.shape, counts=_compressed(mask), plain=plain)
            about = {"label": segment.label, "crowd": segment.crowd, "thing": segment.thing}
            category = NUMBERS[segment.label]
            things.append(Thing(id=key, box=box, area=area, category=category, rle=rle, **about))
        height, width = one.scene.numbers.shape
        about = {"id": one.key, "image": one.name, "split": one.split, "number": one.number}
        about["file"] = one.name
        yield Scene(width=width, height=height, objects=things, **about), one.scene.image


def draw_objects(
    store: Path,
    kind: Literal["boxes", "panoptic"] = "boxes",
    images: Images = IMAGES,
    seed: int = 0,
    size: int = 96,
) -> None:
    """Draws a data store of this kind, data/targets/<set>, in the place of an older one."""
    write_store(store, object_records(seed, images, size, kind), kind=kind)


def _categories(stuff: bool) -> list[dict[str, Any]]:
    things = [{"id": NUMBERS[name], "name": name} for name in SHAPES]
    if not stuff:
        return things
    found = [one | {"isthing": 1} for one in things]
    return [*found, *({"id": NUMBERS[name], "name": name, "isthing": 0} for name in STUFF)]


def _map(one: Numbered) -> Image.Image:
    """The panoptic map, each segment in the colour of its id: red + 256 green + 65536 blue."""
    ids = np.array([0, *one.ids], np.int64)[one.scene.numbers]
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], 2)
    return Image.fromarray(colours.astype(np.uint8))


def write_source(folder: Path, images: Images = IMAGES, seed: int = 0, size: int = 96) -> None:
    """Draws images and annotations into a folder, which must be empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; name another folder, or empty it")
    found = {split: ([], [], []) for split in SPLITS}
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        (folder / "annotations" / f"panoptic_{split}").mkdir(parents=True)
    for one in draw_images(seed, images, size):
        listed, objects, maps = found[one.split]
        (folder / one.split / one.name).write_bytes(one.scene.image)
        height, width = one.scene.numbers.shape
        about = {"id": one.number, "file_name": one.name, "width": width, "height": height}
        listed.append(about)
        objects += annotations(one, stuff=False)
        segments = []
        for each in annotations(one, stuff=True):
            wanted = ("id", "category_id", "bbox", "area", "iscrowd")
            segments.append({key: each[key] for key in wanted})
        png = f"{Path(one.name).stem}.png"
        _map(one).save(folder / "annotations" / f"panoptic_{one.split}" / png)
        maps.append({"image_id": one.number, "file_name": png, "segments_info": segments})
    for split, (listed, objects, maps) in found.items():
        for name, each in (("instances", objects), ("panoptic", maps)):
            categories = _categories(name == "panoptic")
            whole = {"images": listed, "annotations": each, "categories": categories}
            path = folder / "annotations" / f"{name}_{split}.json"
            path.write_text(json.dumps(whole) + "\n", encoding="utf-8")


def main(folder: Path, train: int = 300, val: int = 100, test: int = 200, seed: int = 0) -> None:
    """Draw scenes with boxes, masks and panoptic maps into FOLDER."""
    try:
        write_source(folder, (train, val, test), seed)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    for kind, name in (("boxes", "objects"), ("panoptic", "segments")):
        command = f"python -m flows.version add --kind {kind} --target {name} --labels"
        print(f"to have them as data/targets/{name}: {command} {folder}")


if __name__ == "__main__":
    import typer

    typer.run(main)
