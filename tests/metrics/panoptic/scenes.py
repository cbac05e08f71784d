"""Small panoptic scenes, drawn at random, with all that the rules are about; and their files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from PIL import Image

CLASSES = 5
THINGS = [0, 1, 2]
IDS = [7, 3, 90, 12, 5]  # category ids of the classes


class Scene(NamedTuple):
    """pixels: int32 (h, w), 0 void, else an id of ids (s,); labels, crowd (s,)."""

    pixels: ndarray
    ids: ndarray
    labels: ndarray
    crowd: ndarray


def scene(generator: np.random.Generator, height: int, width: int) -> Scene:
    """Blocks over each other and void between them; of a class several, also crowds."""
    count = int(generator.integers(1, 9))
    ids = generator.choice(2**24 - 1, count, replace=False) + 1
    pixels = np.zeros((height, width), np.int32)
    for label in ids:
        top, left = generator.integers(height), generator.integers(width)
        tall, wide = generator.integers(1, height + 1), generator.integers(1, width + 1)
        pixels[top : top + tall, left : left + wide] = label
    ids = ids[np.isin(ids, pixels)]
    labels = generator.integers(CLASSES, size=len(ids))
    return Scene(pixels, ids, labels, generator.random(len(ids)) < 0.25)


def guess(generator: np.random.Generator, true: Scene) -> Scene:
    """What a network might say of it: moved, with other ids, joined, missed, of other classes."""
    moved = np.roll(true.pixels, generator.integers(-2, 3, 2).tolist(), (0, 1))
    ids = generator.choice(2**24 - 1, len(true.ids), replace=False) + 1
    if len(ids) > 1 and generator.random() < 0.4:
        ids[0] = ids[-1]
    pixels = np.zeros_like(moved)
    for old, new in zip(true.ids, ids, strict=True):
        pixels[moved == old] = new if generator.random() < 0.85 else 0
    blank = (pixels == 0) & (generator.random() < 0.3)
    pixels[blank] = 77
    kept = np.unique(pixels[pixels > 0])
    labels = np.array([_label(generator, true, ids, each) for each in kept], np.int64)
    return Scene(pixels, kept, labels, np.zeros(len(kept), bool))


def _label(generator: np.random.Generator, true: Scene, ids: ndarray, segment: int) -> int:
    [*same] = np.flatnonzero(ids == segment)
    if not same or generator.random() < 0.1:
        return int(generator.integers(CLASSES))
    return int(true.labels[same[-1]])


def scenes(count: int) -> list[tuple[Scene, Scene]]:
    """Pairs (prediction, truth)."""
    pairs = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        true = scene(generator, *generator.integers(1, 30, 2).tolist())
        pairs.append((guess(generator, true), true))
    return pairs


def columns(pairs: list[tuple[Scene, Scene]]) -> tuple[dict[str, list], dict[str, list]]:
    """As batches have them."""
    given, true = map(_columns, zip(*pairs, strict=True))
    given.pop("panoptic_crowd")
    return given, true | {"panoptic_things": [torch.tensor(THINGS)] * len(pairs)}


def _columns(those: Sequence[Scene]) -> dict[str, list]:
    names = ("panoptic", "panoptic_id", "panoptic_label", "panoptic_crowd")
    parts = zip(names, zip(*those, strict=True), strict=True)
    return {name: list(map(torch.as_tensor, part)) for name, part in parts}


def written(folder: Path, name: str, those: Sequence[Scene]) -> Path:
    """COCO's panoptic JSON and the folder of its PNGs."""
    (folder / name).mkdir(parents=True)
    annotations = []
    for index, each in enumerate(those):
        write_ids(folder / name / f"{index}.png", each.pixels)
        segments = [_segment(each, place) for place in range(len(each.ids))]
        entry = {"image_id": index, "file_name": f"{index}.png", "segments_info": segments}
        annotations.append(entry)
    categories = [
        {"id": key, "name": f"class {place}", "isthing": int(place in THINGS)}
        for place, key in enumerate(IDS)
    ]
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"annotations": annotations, "categories": categories}))
    return file


def write_ids(file: Path, pixels: ndarray) -> None:
    colours = np.stack([pixels % 256, pixels // 256 % 256, pixels // 256**2], 2)
    Image.fromarray(colours.astype(np.uint8)).save(file)


def _segment(scene: Scene, place: int) -> dict[str, Any]:
    key, crowd = int(scene.ids[place]), int(scene.crowd[place])
    area = int((scene.pixels == key).sum())
    return {"id": key, "category_id": IDS[scene.labels[place]], "iscrowd": crowd, "area": area}
