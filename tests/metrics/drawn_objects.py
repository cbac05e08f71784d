"""Drawn images with objects: boxes, masks and keypoints, found and annotated."""

from typing import Any

import torch
from torch import Tensor

CLASSES = 4
HEIGHT, WIDTH = 120, 160
POINTS = 17
Columns = dict[str, list[Any]]


def drawn_objects(samples: int = 60, seed: int = 0) -> tuple[Columns, Columns]:
    """(predictions, targets): most objects are found nearly, some not, and some that are not there.

    No score is like another one, so that the order of images decides nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    given: Columns = {}
    true: Columns = {}
    for row in range(samples):
        boxes, labels = _annotated(generator, 1 + row % 5)
        found, classes = _found(generator, boxes, labels)
        scores = torch.rand(len(found), generator=generator, dtype=torch.float64)
        images = ((given, found, classes, {"box_score": scores}), (true, boxes, labels, {}))
        for columns, shapes, named, more in images:
            _add(columns, boxes=shapes, box_label=named, masks=_masks(shapes), **more)
            _add(columns, keypoints=_keypoints(shapes))
        crowd = torch.arange(len(boxes)) == 4
        sides = boxes[:, 2:] - boxes[:, :2]
        _add(true, box_crowd=crowd, box_area=sides.prod(1) * 0.9)
        _add(true, negative=torch.tensor([3]), not_exhaustive=torch.tensor([2] * (row % 7 == 0)))
        _add(true, frequency=torch.tensor([0, 1, 2, 2]))
    return given, true


def _annotated(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100
    side = 4 + torch.rand(count, 2, generator=generator, dtype=torch.float64) ** 2 * 120
    labels = torch.randint(CLASSES - 1, (count,), generator=generator)
    # in quarters of a pixel, in which float64 is exact
    return (4 * torch.cat([corner, corner + side], 1)).round() / 4, labels


def _found(generator: torch.Generator, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    near = boxes + torch.randn(boxes.shape, generator=generator, dtype=torch.float64).round()
    near = torch.cat([near[:, :2], near[:, 2:].maximum(near[:, :2] + 1)], 1)
    kept = torch.rand(len(boxes), generator=generator) < 0.8
    others, wrong = _annotated(generator, 2)
    return torch.cat([near[kept], others]), torch.cat([labels[kept], wrong])


def _masks(boxes: Tensor) -> Tensor:
    """bool (m, h, w)."""
    y, x = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)
    left, top, right, bottom = boxes[:, :, None, None].unbind(1)
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)


def _keypoints(boxes: Tensor) -> Tensor:
    """(m, 17, 3): points on the diagonal, all of them visible."""
    share = torch.linspace(0, 1, POINTS, dtype=torch.float64)[:, None]
    points = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
    return torch.cat([points, torch.full((*points.shape[:2], 1), 2.0).double()], 2)


def _add(columns: Columns, **values: Any) -> None:
    for name, value in values.items():
        columns.setdefault(name, []).append(value)
