"""Sources of annotated images that tests write: COCO's JSON with its images, an import of them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from corpus.records.objects import Scene
from corpus.sources.source import source_rows
from corpus.store.account import Import
from corpus.store.categories import note_categories
from corpus.store.ingest import ingest
from corpus.store.read import read_records

WIDTH, HEIGHT = 40, 30
CATEGORIES = [
    {"id": 3, "name": "dog", "supercategory": "animal", "keypoints": ["nose", "tail"]},
    {"id": 7, "name": "traffic light", "supercategory": "street"},
    {"id": 9, "name": "never seen"},
]


def save_image(path: Path, width: int = WIDTH, height: int = HEIGHT, turn: int = 1) -> None:
    """A JPEG; `turn`: the orientation that its EXIF says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (6, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    image.save(path, "JPEG", **({"exif": exif} if turn > 1 else {}))


def image(number: int, **more: Any) -> dict[str, Any]:
    """An image of a COCO file."""
    about = {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT}
    return about | more


def box(number: int, of: int, at: Any = (4, 5, 20, 10.5), **more: Any) -> dict[str, Any]:
    """An annotation of a COCO file."""
    about = {"id": number, "image_id": of, "category_id": 3, "bbox": [*at], "iscrowd": 0}
    return about | {"area": 210.0, "segmentation": []} | more


def coco(images: list, annotations: list, categories: list = CATEGORIES) -> dict[str, Any]:
    """A COCO file."""
    about = {"info": {"year": 2020}, "licenses": [{"id": 1, "name": 'a "free" {one}'}]}
    return about | {"images": images, "annotations": annotations, "categories": categories}


def written(folder: Path, about: Any, name: str = "instances.json") -> Path:
    """The JSON, and each of its images, in a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about))
    for one in about["images"]:
        if not (folder / one["file_name"]).exists():
            save_image(folder / one["file_name"])
    return path


def imported(
    source: Path,
    data: Path,
    kind: str = "boxes",
    images: Path | None = None,
    name: str = "things",
    **how: Any,
) -> Import:
    """The source in the store targets/<name> of `data`."""
    about: dict[str, Any] = {}
    rows = source_rows(source, images, kind, data.parent / "spool", about=about)
    done = ingest(rows, data, f"targets/{name}", kind=kind, **how)
    note_categories(data / "targets" / name, about.get("categories", ()), False)
    return done


def stored(data: Path, name: str = "things") -> dict[str, Scene]:
    """The records of a set by their ids."""
    return {scene.id: scene for scene in read_records(data / "targets" / name, Scene)}


def reasons(data: Path) -> list[tuple[str, str]]:
    """(where, why) of all that was refused."""
    lines = (data / "quarantine.jsonl").read_text().splitlines()
    return [(row["where"], row["reason"]) for row in map(json.loads, lines)]


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    """A PNG of these pixels."""
    out = io.BytesIO()
    made = Image.fromarray(pixels)
    (made.convert(mode) if mode else made).save(out, "PNG")
    return out.getvalue()
