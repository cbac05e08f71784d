"""Masks as run lengths and their boundary regions, held to pycocotools and to a naive rewrite."""

import numpy as np
import pytest
from pycocotools import mask as coco
from scipy import ndimage

from metrics.blocks.masks.boundary import boundaries, distance, of_labels
from metrics.blocks.masks.outlines import pair_ious
from metrics.blocks.masks.runlengths import crops


def encoded(masks: np.ndarray) -> list[dict]:
    """As pycocotools has them."""
    return coco.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def pasted(found, index: int) -> np.ndarray:
    """A crop in its image again."""
    whole = np.zeros(found.size, bool)
    left, top, right, bottom = found.boxes[index]
    whole[top:bottom, left:right] = found.pixels[index].T
    return whole


def naive_boundary(mask: np.ndarray, ratio: float) -> np.ndarray:
    """The authors' rule, step by step: pad, erode d times by 3 x 3, take away."""
    d = max(1, round(ratio * np.hypot(*mask.shape)))
    left = ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3)), d, border_value=1)
    return mask & ~left[1:-1, 1:-1]


def drawn(generator: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """Masks with every kind of edge: blocks, noise, stripes over whole columns, none, all."""
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        kind = generator.integers(6)
        top, left = generator.integers(height), generator.integers(width)
        block = mask[top : top + generator.integers(1, height + 1), left:]
        block[:] = generator.random(block.shape) < (1.0, 0.95, 0.5, 1.0, 1.0, 0.0)[kind]
        if kind == 3:
            mask[:, left : left + 2] = True
        if kind == 4:
            mask[:] = True
    return masks


def cases(count: int):
    """(generator, height, width, ratio) of small images."""
    for seed in range(count):
        generator = np.random.default_rng(seed)
        height, width = generator.integers(1, 40, 2).tolist()
        yield generator, height, width, generator.choice([0.02, 0.05, 0.1])


def test_crops_are_the_masks_whatever_they_are_given_as():
    for generator, height, width, _ in cases(200):
        masks = drawn(generator, height, width, 5)
        as_lists = [
            {"size": each["size"], "counts": coco_counts(mask)}
            for each, mask in zip(encoded(masks), masks, strict=True)
        ]
        for given in (masks, encoded(masks), as_lists):
            found = crops(given)
            assert found.areas.tolist() == masks.sum((1, 2)).tolist()
            for index, mask in enumerate(masks):
                assert np.array_equal(pasted(found, index), mask)
            boxes = np.array([coco.toBbox(each) for each in encoded(masks)])
            assert np.array_equal(found.boxes[:, 2:] - found.boxes[:, :2], boxes[:, 2:])


def coco_counts(mask: np.ndarray) -> list[int]:
    """Uncompressed counts of a mask."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges.tolist(), len(flat)]).tolist()
    return [0, *counts] if flat[0] else counts


def ious(found, true) -> np.ndarray:
    """(m, k): of all pairs."""
    shape = len(found.areas), len(true.areas)
    return pair_ious(found, true, *(each.ravel() for each in np.indices(shape))).reshape(shape)


def test_boundary_regions_and_overlaps_are_those_of_the_naive_rule():
    for generator, height, width, ratio in cases(200):
        masks, others = (drawn(generator, height, width, 4) for _ in range(2))
        found, true = crops(encoded(masks)), crops(others)
        regions, naive = boundaries(found, ratio), [naive_boundary(each, ratio) for each in masks]
        for index, region in enumerate(naive):
            assert np.array_equal(pasted(regions, index), region)
        assert np.array_equal(ious(found, true), coco.iou(encoded(masks), encoded(others), [0] * 4))
        naive_others = np.stack([naive_boundary(each, ratio) for each in others])
        edges = coco.iou(encoded(np.stack(naive)), encoded(naive_others), [0] * 4)
        assert np.array_equal(ious(regions, boundaries(true, ratio)), edges)


def test_the_boundary_regions_of_a_map_are_those_of_its_labels():
    for generator, height, width, ratio in cases(200):
        labels = np.zeros((height, width), np.int32)
        for label in range(generator.integers(6)):
            top, left = generator.integers(height), generator.integers(width)
            labels[top : top + generator.integers(1, 30), left : left + 12] = label
        found = of_labels(labels, distance(height, width, ratio))
        for label in np.unique(labels):
            mask = labels == label
            assert np.array_equal(found & mask, naive_boundary(mask, ratio))


def disc(x: float) -> np.ndarray:
    rows, columns = np.mgrid[:200, :200]
    return (columns - x) ** 2 + (rows - 100) ** 2 <= 60**2


def square(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((200, 200), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("one", "two", "iou", "boundary_iou"),
    [
        (disc(100), disc(106), 0.880716, 0.333333),
        (square(20, 80, 30, 110), square(20, 80, 33, 113), 0.927711, 0.651613),
        (square(0, 60, 0, 60), square(4, 64, 0, 60), 0.875, 0.5),
    ],
)
def test_known_overlaps_of_masks_and_of_boundary_regions(one, two, iou, boundary_iou):
    assert distance(200, 200) == 6
    found, true = crops(one[None]), crops(encoded(two[None]))
    assert ious(found, true)[0, 0] == pytest.approx(iou, abs=5e-7)
    assert ious(boundaries(found), boundaries(true))[0, 0] == pytest.approx(boundary_iou, abs=5e-7)


def test_the_area_of_a_known_boundary_region():
    found = crops(disc(100)[None])
    assert found.areas.tolist() == [11289]
    assert boundaries(found).areas.tolist() == [2716]


GOOD = encoded(square(3, 9, 4, 8)[None])[0]


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ([GOOD, GOOD | {"size": [100, 400]}], "are of 2 sizes"),
        ([GOOD | {"size": [200, 100]}], "1 of 1 masks have counts that do not add up to the 20000"),
        ([GOOD | {"counts": GOOD["counts"][:-1] + b"o"}], "end amid a number"),
        ([GOOD | {"counts": b"\x01\x02"}], "none of run lengths"),
        ([GOOD | {"counts": [5, -3, 39998]}], "do not add up"),
        (np.zeros((200, 200)), "give one per object"),
    ],
)
def test_masks_that_are_none_are_told(masks, told):
    with pytest.raises(ValueError, match=told):
        crops(masks)
