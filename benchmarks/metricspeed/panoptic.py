"""Panoptic maps of COCO's size, drawn at random: 640 x 480 px, 10 segments each, 133 classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

HEIGHT, WIDTH = 480, 640
THINGS, STUFF = 80, 53  # COCO's classes
REGIONS, OBJECTS = 3, 7  # of an image: together its segments
EDGES = 24  # waves of an outline
WRONG = 0.1  # share of the predicted segments that are of another class


def panoptic_sized(images: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """(predictions, truth): COCO's panoptic JSON, each with the folder of its PNGs beside it.

    Regions of stuff and ragged ellipses of things over them, some crowds, some pixels void; the
    predictions are the same outlines, moved and ragged in another way.
    """
    sides: dict[str, list[dict[str, Any]]] = {"predictions": [], "truth": []}
    for name in sides:
        (folder / name).mkdir(parents=True)
    for image in range(images):
        generator = np.random.default_rng([seed, image])
        shapes = _outlines(generator)
        regions = generator.integers(THINGS, THINGS + STUFF, REGIONS)
        labels = np.concatenate([regions, generator.integers(0, THINGS, OBJECTS)])
        crowd = (generator.random(len(labels)) < 0.02) & (labels < THINGS)
        true = _drawn(generator, shapes, 0.0)
        true[: generator.integers(1, 30)] = 0
        sides["truth"].append(_written(folder / "truth", image, true, labels, crowd))
        guess = _drawn(generator, shapes, 6.0)
        wrong = generator.random(len(labels)) < WRONG
        labels = np.where(wrong, (labels + 1) % (THINGS + STUFF), labels)
        entry = _written(folder / "predictions", image, guess, labels, crowd & False)
        sides["predictions"].append(entry)
    categories = [
        {"id": label + 1, "name": f"class {label}", "isthing": int(label < THINGS)}
        for label in range(THINGS + STUFF)
    ]
    for name, annotations in sides.items():
        content = {"annotations": annotations, "categories": categories}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "predictions.json", folder / "truth.json"


def _outlines(generator: np.random.Generator) -> ndarray:
    """Of each object x, y, width, height in px."""
    x, y = generator.uniform(0, WIDTH, OBJECTS), generator.uniform(0, HEIGHT, OBJECTS)
    sides = generator.lognormal(4, 0.7, (2, OBJECTS)).clip(8, 300)
    return np.stack([x, y, *sides], 1)


def _drawn(generator: np.random.Generator, shapes: ndarray, moved: float) -> ndarray:
    """int32 (h, w): numbers of segments from 1 on, regions first; moved: how far, in px."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    rows, columns = rows.astype(np.float32), columns.astype(np.float32)
    wave = np.float32(12) * np.sin(columns / 23) + np.float32(5) * np.sin(columns / 7)
    bounds = [HEIGHT * part / REGIONS + generator.normal(0, moved) for part in range(1, REGIONS)]
    pixels = 1 + sum((rows + wave > bound).astype(np.int32) for bound in bounds)
    for place, (x, y, *sides) in enumerate(shapes):
        x, y = np.add((x, y), generator.normal(0, moved, 2))
        # an outline is at most this much wider than its ellipse
        half = [int(0.7 * side) + 1 for side in sides]
        left, top = max(0, int(x) - half[0]), max(0, int(y) - half[1])
        part = slice(top, max(0, int(y) + half[1])), slice(left, max(0, int(x) + half[0]))
        across, down = (columns[part] - x) / sides[0], (rows[part] - y) / sides[1]
        angle = np.arctan2(down, across)
        waves = generator.normal(1, 0.1, EDGES).clip(0.6, 1.4)
        ragged = np.interp(angle, np.linspace(-np.pi, np.pi, EDGES), waves)
        pixels[part][np.hypot(across, down) < ragged / 2] = place + 1 + REGIONS
    return pixels


def _written(
    folder: Path, image: int, pixels: ndarray, labels: ndarray, crowd: ndarray
) -> dict[str, Any]:
    """The annotation of a map, whose PNG is written."""
    generator = np.random.default_rng(image)
    ids = np.concatenate([[0], generator.choice(2**24 - 1, len(labels), replace=False) + 1])
    areas = np.bincount(pixels.ravel(), minlength=len(ids))
    colours = ids[pixels].astype("<u4").view(np.uint8).reshape(HEIGHT, WIDTH, 4)[:, :, :3]
    name = f"{image:012}.png"
    Image.fromarray(np.ascontiguousarray(colours)).save(folder / name)
    segments = [
        {
            "id": int(ids[place + 1]),
            "category_id": int(labels[place]) + 1,
            "iscrowd": int(crowd[place]),
            "area": int(areas[place + 1]),
        }
        for place in np.flatnonzero(areas[1:])
    ]
    return {"image_id": image, "file_name": name, "segments_info": segments}
