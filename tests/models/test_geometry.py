"""Boxes, masks, points and segments follow their image: over random cases, and beside v2."""

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from corpus.drawn.segments import draw_scene
from corpus.sources.users import stream
from models.blocks.augment.cutting import OBJECTS, area_left
from models.blocks.augment.draws import Draws
from models.blocks.augment.geometry import (
    crop,
    each,
    flip,
    resize,
    scaled_sides,
    sides,
)
from models.blocks.augment.places import random_crops, random_flips, random_sides

CASES = 40


def box_of(mask) -> list[int]:
    y, x = np.nonzero(np.asarray(mask))
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


def sample(seed: int, size: int = 48) -> dict[str, torch.Tensor]:
    """A drawn scene as the columns of both kinds."""
    scene = draw_scene(stream(seed, 99), size)
    numbers = torch.from_numpy(scene.numbers)
    things = [s for s, segment in enumerate(scene.segments, 1) if segment.thing]
    masks = (
        torch.stack([numbers == s for s in things]) if things else torch.zeros(0, *numbers.shape)
    )
    masks = masks.bool()
    boxes = torch.tensor([box_of(mask) for mask in masks], dtype=torch.float32).reshape(-1, 4)
    count, rng = len(things), np.random.default_rng(seed)
    places = rng.integers(0, 4 * min(numbers.shape), (count, 3, 2)) / 4
    seen = rng.integers(0, 3, (count, 3, 1))
    points = np.concatenate([places * (seen > 0), seen], 2)
    return {
        "image": torch.from_numpy(rng.integers(0, 256, (*numbers.shape, 3), np.uint8)),
        "boxes": boxes,
        "box_label": torch.arange(count),
        "box_area": masks.flatten(1).sum(1).double(),
        "masks": masks,
        "keypoints": torch.from_numpy(points).float(),
        "panoptic": numbers,
        "panoptic_label": torch.arange(len(scene.segments)),
        "panoptic_crowd": torch.tensor([one.crowd for one in scene.segments]),
        "panoptic_area": torch.bincount(numbers.flatten(), minlength=len(scene.segments) + 1)[1:]
        + 0.0,
        "semantic": (numbers % 7).to(torch.uint8),
        "sides": torch.tensor([numbers.shape[1], numbers.shape[0]]),
        "group": torch.tensor(seed),
    }


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def consistent(one: dict) -> None:
    """All columns are of one image and of the same objects and segments."""
    height, width = sides(one)
    assert (
        one["masks"].shape[1:] == one["panoptic"].shape == one["semantic"].shape == (height, width)
    )
    assert one["sides"].tolist() == [width, height]
    assert len({len(one[name]) for name in OBJECTS if name in one}) == 1
    assert int(one["panoptic"].max()) <= len(one["panoptic_label"]) == len(one["panoptic_crowd"])
    for mask in one["masks"]:
        inside = one["panoptic"][mask].unique()
        assert len(inside) <= 1, "a mask is of one segment, as before"


@pytest.mark.parametrize("seed", range(CASES))
def test_a_flip_is_its_own_inverse_bit_for_bit(seed):
    one = sample(seed)
    once = flip(one, pairs=[(0, 2)])
    consistent(once)
    assert same(flip(once, pairs=[(0, 2)]), one), "places on a grid that float32 has exactly"
    for mask, box in zip(once["masks"], once["boxes"], strict=True):
        assert box_of(mask) == box.tolist()
    assert torch.equal(once["image"], one["image"].flip(1))
    width = sides(one)[1]
    there = one["keypoints"][:, :, 2] > 0
    wanted = width - one["keypoints"][:, [2, 1, 0], 0]
    assert torch.equal(once["keypoints"][..., 0][there[:, [2, 1, 0]]], wanted[there[:, [2, 1, 0]]])
    free = one | {"boxes": one["boxes"] + torch.rand(4, generator=torch.manual_seed(seed))}
    twice = flip(flip(free))["boxes"]
    # elsewhere float32 rounds the place that is counted from the other side
    assert torch.allclose(twice, free["boxes"], rtol=0, atol=float(np.spacing(np.float32(64))))


@pytest.mark.parametrize("seed", range(CASES))
def test_boxes_follow_masks_when_resized(seed):
    one, rng = sample(seed), np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(20, 120, 2))
    found = resize(one, height, width)
    consistent(found)
    assert found["image"].shape == (height, width, 3) and found["image"].dtype == torch.uint8
    for mask, box in zip(found["masks"], found["boxes"], strict=True):
        if not mask.any():  # thinner than a pixel
            continue
        off = np.array(box_of(mask)) - box.numpy()
        assert off[:2].min() >= -0.501 and off[2:].max() <= 0.501, "no mask leaves its box"
        if height >= sides(one)[0] and width >= sides(one)[1]:
            assert np.abs(off).max() <= 0.501, "and of an enlarged one it is the box"
    factor = height * width / np.prod(sides(one))
    for number in range(1, len(one["panoptic_label"]) + 1):
        before, after = (int((each["panoptic"] == number).sum()) for each in (one, found))
        edge = 4 * (before**0.5 + 4) * factor  # pixels along a border
        assert abs(after - factor * before) <= edge + 8
        assert found["panoptic_area"][number - 1] == pytest.approx(factor * before)
    assert torch.allclose(found["box_area"], one["box_area"] * factor)
    assert same(resize(one, *sides(one)), one)


@pytest.mark.parametrize("seed", range(CASES))
def test_a_mask_without_thin_parts_keeps_its_box_within_a_pixel(seed):
    one, rng = sample(seed), np.random.default_rng(seed)
    height, width = sides(one)
    count = 6
    one["masks"] = torch.zeros(count, height, width, dtype=torch.bool)
    corners = np.sort(rng.integers(0, (height, width), (2, count, 2)), 0)
    for mask, (y1, x1), (y2, x2) in zip(one["masks"], *corners, strict=True):
        mask[y1 : y2 + 1, x1 : x2 + 1] = True
    boxes = np.concatenate([corners[0, :, ::-1], corners[1, :, ::-1] + 1], 1)
    one["boxes"] = torch.from_numpy(boxes.astype(np.float32))
    one = {name: one[name] for name in ("image", "masks", "boxes")}
    at = crop(one, height // 5, width // 4, height // 2, width // 2)
    found = flip(resize(at, *(int(side) for side in rng.integers(8, 90, 2))))
    assert len(found["masks"]) == len(found["boxes"])
    for mask, box in zip(found["masks"], found["boxes"], strict=True):
        thin = (box[2:] - box[:2]).min() < 1
        assert mask.any() or thin
        if mask.any():
            assert np.abs(np.array(box_of(mask)) - box.numpy()).max() <= 1


@pytest.mark.parametrize("seed", range(CASES))
def test_a_crop_drops_what_is_cut_off_from_all_columns(seed):
    one, rng = sample(seed), np.random.default_rng(seed)
    height, width = sides(one)
    assert same(crop(one, 0, 0, height, width), one), "the whole image is the sample"
    high, wide = int(rng.integers(4, height + 1)), int(rng.integers(4, width + 1))
    top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    found = crop(one, top, left, high, wide)
    consistent(found)
    rows, columns = slice(top, top + high), slice(left, left + wide)
    assert torch.equal(found["image"], one["image"][rows, columns])
    cut = one["masks"][:, rows, columns]
    kept = [i for i in range(len(cut)) if cut[i].any()]
    assert found["box_label"].tolist() == kept and torch.equal(found["masks"], cut[kept])
    assert found["box_area"].tolist() == pytest.approx([int(cut[i].sum()) for i in kept])
    tight = crop(one, top, left, high, wide, tight=True)
    for mask, box, exact in zip(found["masks"], found["boxes"], tight["boxes"], strict=True):
        x1, y1, x2, y2 = box_of(mask)
        assert exact.tolist() == [x1, y1, x2, y2]
        assert box[0] <= x1 and box[1] <= y1 and box[2] >= x2 and box[3] >= y2
        assert box.min() >= 0 and box[2] <= wide and box[3] <= high
    names = one["panoptic"][rows, columns].unique()
    names = names[names > 0]
    assert (found["panoptic_label"] + 1).tolist() == names.tolist()
    again = torch.cat([torch.zeros(1, dtype=torch.int32), names])[found["panoptic"].long()]
    assert torch.equal(again, one["panoptic"][rows, columns])
    pixels = [(found["panoptic"] == number + 1).sum() for number in range(len(names))]
    assert found["panoptic_area"].tolist() == pixels
    points = found["keypoints"]
    outside = (points[..., 0] > wide) | (points[..., 1] > high) | (points[..., :2] < 0).any(-1)
    assert not outside.any() and (points[points[..., 2] == 0] == 0).all()


def test_of_boxes_without_masks_the_share_that_is_left_decides():
    """The golden of two views: a box that is left with no width is dropped."""
    one = {
        "image": torch.zeros(100, 100, 3, dtype=torch.uint8),
        "boxes": torch.tensor([[10.0, 20, 60, 80], [0, 0, 30, 30], [70, 50, 99, 99]]),
        "box_label": torch.arange(3),
        "box_area": torch.tensor([3000.0, 900, 1421]).double(),
    }
    assert area_left(one["boxes"], 10, 5, 70, 60).tolist() == pytest.approx([1, 500 / 900, 0])
    first = resize(crop(one, 10, 5, 70, 60), 64, 64)
    assert first["box_label"].tolist() == [0, 1]
    assert first["boxes"][0].tolist() == pytest.approx([5.333333, 9.142857, 58.666667, 64], 1e-6)
    assert first["box_area"][1].item() == pytest.approx(500 * 64 / 60 * 64 / 70)
    assert crop(one, 10, 5, 70, 60, least=0.6)["box_label"].tolist() == [0]
    second = flip(resize(crop(one, 0, 20, 90, 75), 64, 64))
    back = second["boxes"].clone()
    back[:, [0, 2]] = 95 - back[:, [2, 0]] * 75 / 64
    back[:, [1, 3]] *= 90 / 64
    wanted = [[20, 20, 60, 80], [20, 0, 30, 30], [70, 50, 95, 90]]
    assert np.allclose(back, wanted, atol=1e-4)
    with pytest.raises(AssertionError, match="rounds boxes of integers"):
        flip(one | {"boxes": one["boxes"].long()})


@pytest.mark.parametrize("seed", range(0, CASES, 4))
def test_an_object_whose_mask_is_not_known_stays_as_long_as_its_box_does(seed):
    one, rng = sample(seed), np.random.default_rng(seed)
    known = torch.from_numpy(rng.random(len(one["boxes"])) < 0.5)
    one |= {"masks": one["masks"] & known[:, None, None], "masks_known": known}
    height, width = sides(one)
    top, left, high, wide = height // 4, width // 3, height // 2, width // 2
    found = flip(resize(crop(one, top, left, high, wide), 30, 40))
    consistent(found)
    seen = one["masks"][:, top : top + high, left : left + wide].flatten(1).any(1)
    kept = torch.where(known, seen, area_left(one["boxes"], top, left, high, wide) > 0)
    assert found["box_label"].tolist() == kept.nonzero().flatten().tolist()
    assert torch.equal(found["masks_known"], known[kept])
    assert not found["masks"][~found["masks_known"]].any()


def as_tv(one: dict) -> dict:
    given = {"format": "XYXY", "canvas_size": sides(one)}
    return {
        "image": tv_tensors.Image(one["image"].permute(2, 0, 1)),
        "boxes": tv_tensors.BoundingBoxes(one["boxes"], **given),
        "masks": tv_tensors.Mask(one["masks"]),
        "panoptic": tv_tensors.Mask(one["panoptic"]),
    }


@pytest.mark.parametrize("seed", range(0, CASES, 3))
def test_parity_with_the_classes_of_v2(seed):
    """Numbers of their own for numbers of ours; a crop of theirs drops nothing."""
    one = sample(seed)
    theirs = as_tv(one)
    shorter, longer = 33 + seed, 75 + seed
    exact = v2.Resize(shorter, InterpolationMode.NEAREST_EXACT, max_size=longer)(theirs)
    smooth = v2.Resize(shorter, InterpolationMode.BILINEAR, max_size=longer)(theirs)
    ours = resize(one, *scaled_sides(*sides(one), shorter, longer))
    assert torch.equal(ours["image"], smooth["image"].permute(1, 2, 0))
    for name, other in (("boxes", smooth), ("masks", exact), ("panoptic", exact)):
        assert torch.equal(ours[name], other[name].as_subclass(torch.Tensor)), name
    mirrored, ours = v2.RandomHorizontalFlip(1.0)(theirs), flip(one)
    for name in ("boxes", "masks", "panoptic"):
        assert torch.equal(ours[name], mirrored[name].as_subclass(torch.Tensor)), name
    middle, (height, width) = v2.CenterCrop(18)(theirs), sides(one)
    top, left = round((height - 18) / 2), round((width - 18) / 2)
    ours = crop(one, top, left, 18, 18)
    labels = ours["box_label"]
    assert torch.equal(ours["image"], middle["image"].permute(1, 2, 0))
    assert torch.equal(ours["boxes"], middle["boxes"].as_subclass(torch.Tensor)[labels])
    assert torch.equal(ours["masks"], middle["masks"].as_subclass(torch.Tensor)[labels])


def test_a_batch_of_differently_sized_images_is_changed_by_the_draws_of_the_step():
    samples = [sample(seed) for seed in range(8)]
    batch = each({"image": samples}, lambda _, row: samples[row])

    def changed(first: int, last: int) -> list[dict]:
        draws = Draws(torch.Generator().manual_seed(3), first, 8)
        rows = list(range(first, last))
        part = {name: column[first:last] for name, column in batch.items()}
        shorter = random_sides(draws, len(rows), [24, 32, 40])
        flips = random_flips(draws, len(rows))
        crops = random_crops(draws, [sides(samples[row]) for row in rows])

        def change(one: dict, row: int) -> dict:
            one = crop(one, *crops[row])
            one = resize(one, *scaled_sides(*sides(one), shorter[row], 64))
            return flip(one) if flips[row] else one

        found = each(part, change)
        return [
            dict(zip(found, columns, strict=True)) for columns in zip(*found.values(), strict=True)
        ]

    whole = changed(0, 8)
    state = torch.get_rng_state()
    assert len({sides(one) for one in whole}) > 3 and torch.equal(state, torch.get_rng_state())
    for one in whole:
        consistent(one)
        assert min(sides(one)) in (24, 32, 40) or max(sides(one)) == 64
    parts = [*changed(0, 3), *changed(3, 8)]
    assert all(same(a, b) for a, b in zip(whole, parts, strict=True)), "whoever holds an image"
