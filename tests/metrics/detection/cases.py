"""Small random files in COCO's format, with all that is awkward: crowds, ties, borders, nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 160  # px of the images
CATEGORIES = (3, 7, 9)
POINTS = 17


def case(seed: int, of: str, federated: bool = False) -> tuple[dict[str, Any], list[dict]]:
    """(truth, results); of: boxes, masks or keypoints. federated: as LVIS, without crowds."""
    random = np.random.default_rng(seed)
    grid = (4, 10)[seed % 2]
    images = [{"id": int(key), "height": SIDE, "width": SIDE} for key in random.permutation(3) + 5]
    categories = [{"id": key, "name": f"c{key}"} for key in CATEGORIES]
    annotations, results = [], []
    for image in images:
        if federated:
            image["neg_category_ids"] = [int(random.choice(CATEGORIES))]
            image["not_exhaustive_category_ids"] = [int(random.choice(CATEGORIES))]
        for category in CATEGORIES:
            named = {"image_id": image["id"], "category_id": category}
            # faster-coco-eval stops at masks of an image without an annotation
            least = int(federated and category == CATEGORIES[0])
            boxes = [_box(random, grid) for _ in range(max(least, random.choice([0, 1, 2, 4])))]
            for box in boxes:
                shape = _annotated(random, of, box)
                crowd = 0 if federated else int(random.random() < 0.2)
                number = {"id": len(annotations) + 1, "iscrowd": crowd}
                annotations.append(named | number | shape)
            for _ in range(random.choice([0, 1, 3, 8])):
                near = boxes and random.random() < 0.8
                box = _box(random, grid)
                if near:
                    box = _moved(random, boxes[random.integers(len(boxes))])
                # in tenths, so that many are equal
                score = round(float(random.random()), 1)
                results.append(named | {"score": score} | _found(random, of, box))
    if federated:
        for row, letter in zip(categories, "rcf", strict=True):
            row["frequency"] = letter
    random.shuffle(annotations)
    random.shuffle(results)
    truth = {"images": images, "categories": categories, "annotations": annotations}
    return truth, results * (seed % 10 > 0)  # now and then there are no results


def _box(random: np.random.Generator, grid: int) -> list[float]:
    """x, y, width, height; often of an area at the border of two ranges.

    grid: parts of a pixel; of tenths float64 is not exact.
    """
    sides = random.choice([8.0, 16.0, 31.75, 32.0, 32.25, 64.0, 96.0, 96.25], 2)
    corner = (random.random(2) * (SIDE - sides) * grid).round() / grid
    return [*corner.tolist(), *sides.tolist()]


def _moved(random: np.random.Generator, box: list[float]) -> list[float]:
    x, y, w, h = box
    by = random.choice([0, 0, 0.25, 0.5, -0.5, 1], 2) * random.choice([1, 8])
    grown = random.choice([1, 1, 0.5, 0.75, 2])
    return [max(0.0, x + by[0]), max(0.0, y + by[1]), w, h * grown]


def _annotated(random: np.random.Generator, of: str, box: list[float]) -> dict[str, Any]:
    area = random.choice([box[2] * box[3], 32.0**2, 96.0**2, 500.5])
    if of == "boxes":
        return {"bbox": box, "area": float(area)}
    if of == "masks":
        return {"segmentation": _mask(random, box, exact=False), "area": float(area), "bbox": box}
    points = _points(random, box)
    points[2::3] = random.choice([0, 1, 2], POINTS) * (random.random() < 0.8)
    labelled = int((points[2::3] > 0).sum())
    return {"keypoints": points.tolist(), "num_keypoints": labelled, "area": area, "bbox": box}


def _found(random: np.random.Generator, of: str, box: list[float]) -> dict[str, Any]:
    if of == "boxes":
        return {"bbox": box}
    if of == "masks":
        return {"segmentation": _mask(random, box, exact=True)}
    return {"keypoints": _points(random, box).tolist()}


def _points(random: np.random.Generator, box: list[float]) -> np.ndarray:
    """x, y, 2 of points of the box, not quite the same each time."""
    x, y, w, h = box
    share = np.linspace(0, 1, POINTS)
    found = np.stack([x + share * w, y + share * h, np.full(POINTS, 2.0)], 1)
    found[:, :2] += random.normal(0, random.choice([0, 2, 8]), (POINTS, 2))
    return found.round(2).ravel()


def _mask(random: np.random.Generator, box: list[float], exact: bool) -> Any:
    """Compressed run lengths; of the truth also polygons, and run lengths as numbers."""
    from pycocotools import mask

    x, y, w, h = box
    form = 0 if exact else random.integers(3)
    if form == 1:
        return [[x, y, x + w, y, x + w, y + h], [x, y, x, y + h, x + w, y + h]]
    pixels = np.zeros((SIDE, SIDE), np.uint8, order="F")
    pixels[int(y) : int(y + h), int(x) : int(x + w)] = 1
    if form == 2:
        flat = np.concatenate([[0], pixels.ravel("F"), [2]])
        ends = np.flatnonzero(np.diff(flat))
        counts = np.diff(np.concatenate([[0], ends])).tolist()
        return {"size": [SIDE, SIDE], "counts": counts}
    found = mask.encode(pixels)
    return {"size": [SIDE, SIDE], "counts": found["counts"].decode()}


def written(folder: Path, truth: Any, results: Any) -> tuple[Path, Path]:
    """(predictions, targets) as files."""
    files = folder / "results.json", folder / "truth.json"
    for file, told in zip(files, (results, truth), strict=True):
        file.write_text(json.dumps(told))
    return files
