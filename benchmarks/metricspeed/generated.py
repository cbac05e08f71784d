"""Annotations and detections of the size of COCO's val2017, drawn at random: 5,000 images of 80
classes, 36,000 objects, 50,000 detections. Masks are ellipses, as run lengths.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

IMAGES, CLASSES, OBJECTS, DETECTIONS = 5_000, 80, 36_000, 50_000
WIDTH, HEIGHT = 640, 480
CORNERS = 24  # of the polygon that an ellipse is drawn as
CROWDS = 0.01


class Drawn(NamedTuple):
    """n objects: image and category (n,), boxes x, y, width, height (n, 4) in px."""

    image: ndarray
    category: ndarray
    boxes: ndarray


def coco_sized(seed: int = 0) -> tuple[dict[str, Any], list[dict], list[dict]]:
    """(truth, results of boxes, results of masks) in COCO's format; 10 s."""
    random = np.random.default_rng(seed)
    true = _objects(random, OBJECTS)
    found, score = _detections(random, true)
    masks, areas = _masks(true.boxes)
    crowd = random.random(OBJECTS) < CROWDS
    annotations = [
        named | {"id": place + 1, "bbox": box, "segmentation": mask, "area": area, "iscrowd": many}
        for place, (named, box, mask, area, many) in enumerate(
            zip(_named(true), true.boxes.tolist(), masks, areas, crowd.astype(int), strict=True)
        )
    ]
    for row in annotations:
        row["iscrowd"] = int(row["iscrowd"])
    scored = [
        named | {"score": each} for named, each in zip(_named(found), score.tolist(), strict=True)
    ]
    by_box = [row | {"bbox": box} for row, box in zip(scored, found.boxes.tolist(), strict=True)]
    segmented = zip(scored, _masks(found.boxes)[0], strict=True)
    by_mask = [row | {"segmentation": mask} for row, mask in segmented]
    images = [{"id": key, "width": WIDTH, "height": HEIGHT} for key in range(1, IMAGES + 1)]
    categories = [{"id": key, "name": f"class {key}"} for key in range(1, CLASSES + 1)]
    truth = {"images": images, "categories": categories, "annotations": annotations}
    return truth, by_box, by_mask


def _objects(random: np.random.Generator, count: int) -> Drawn:
    """Some images have many objects and some none, some classes too."""
    crowded = random.gamma(1.2, size=IMAGES)
    image = random.choice(IMAGES, count, p=crowded / crowded.sum()) + 1
    often = 1 / np.arange(1, CLASSES + 1)
    category = random.choice(CLASSES, count, p=often / often.sum()) + 1
    sides = np.exp(random.normal(4, 0.9, (count, 2))).clip(4, (WIDTH, HEIGHT))
    corner = random.random((count, 2)) * ((WIDTH, HEIGHT) - sides)
    return Drawn(image, category, np.concatenate([corner, sides], 1).round(2))


def _detections(random: np.random.Generator, true: Drawn) -> tuple[Drawn, ndarray]:
    """Two in three are near an object, with higher scores."""
    near = random.random(DETECTIONS) < 2 / 3
    other = _objects(random, DETECTIONS)
    place = random.integers(OBJECTS, size=DETECTIONS)
    sides = true.boxes[place, 2:]
    moved = true.boxes[place] + np.tile(sides, 2) * random.normal(0, 0.08, (DETECTIONS, 4))
    boxes = np.where(near[:, None], moved, other.boxes)
    boxes[:, 2:] = boxes[:, 2:].clip(2, (WIDTH, HEIGHT))
    boxes[:, :2] = boxes[:, :2].clip(0, (WIDTH, HEIGHT) - boxes[:, 2:])
    image = np.where(near, true.image[place], other.image)
    category = np.where(near, true.category[place], other.category)
    score = random.beta(1 + 2 * near, 2).round(6)
    return Drawn(image, category, boxes.round(2)), score


def _named(drawn: Drawn) -> list[dict[str, int]]:
    pairs = zip(drawn.image.tolist(), drawn.category.tolist(), strict=True)
    return [{"image_id": image, "category_id": category} for image, category in pairs]


def _masks(boxes: ndarray) -> tuple[list[dict[str, Any]], list[float]]:
    """Ellipses within the boxes, and how many px they have."""
    from pycocotools import mask

    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1) / 2 + 0.5
    points = boxes[:, None, :2] + circle * boxes[:, None, 2:]
    found = mask.frPyObjects(points.reshape(len(boxes), -1).tolist(), HEIGHT, WIDTH)
    areas = [float(mask.area(each)) for each in found]
    return [row | {"counts": row["counts"].decode()} for row in found], areas
