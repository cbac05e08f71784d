"""Resize, crop and flip of an image with all that lies in it: boxes, masks, points, segments.

A sample is a dictionary of one image's columns as a data set gives them (engine/core/batch.py):
image uint8 (h, w, 3); masks bool (m, h, w), panoptic int32 (h, w), semantic (h, w); boxes float
(m, 4), keypoints float (m, k, 3); and what else is said of its m objects or s segments. Other
columns stay as they are. Numbers are given: what is random of them is drawn by
models/blocks/augment/places.py.

The pixels are torchvision's (torchvision.transforms.v2.functional on tv_tensors). Boxes are never
integers, which it would round; they are clamped by a crop alone, and here. Masks and maps are taken
from the pixel that each centre lies in, "nearest-exact", so that they stay below their boxes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from models.blocks.augment.cutting import cut_objects, cut_segments

__all__ = ["crop", "each", "flip", "resize", "scaled_sides", "sides"]

Sample = dict[str, Tensor]
MAPS = ("masks", "panoptic", "semantic")


def sides(sample: Sample) -> tuple[int, int]:
    """Height and width of the image."""
    height, width, _ = sample["image"].shape
    return height, width


def scaled_sides(height: int, width: int, shorter: int, longer: int) -> tuple[int, int]:
    """Height and width with the shorter side `shorter`, or less where the other one were > longer.

    As v2.Resize(shorter, max_size=longer) has them.
    """
    small, large = sorted((height, width))
    few, many = shorter, int(shorter * large / small)
    if many > longer:
        few, many = max(1, int(longer * few / many)), longer
    return (few, many) if height <= width else (many, few)


def _changed(
    sample: Sample, change: Callable[[Tensor, bool], Tensor], points: Callable[[Tensor], Tensor]
) -> Sample:
    """The sample with each tensor that has places in the image changed.

    change: of tv_tensors, and whether it is an image; points: of keypoints' x and y (m, k, 2).
    """
    canvas, found = sides(sample), dict(sample)
    image = tv_tensors.Image(sample["image"].permute(2, 0, 1))
    found["image"] = _plain(change(image, True)).permute(1, 2, 0)
    for name in MAPS:
        if name in sample:
            found[name] = _plain(change(tv_tensors.Mask(sample[name]), False))
    if "boxes" in sample:
        boxes = sample["boxes"]
        assert boxes.is_floating_point(), "torchvision rounds boxes of integers"
        form = tv_tensors.BoundingBoxFormat.XYXY
        # without clamping: what is cut off is decided here
        given = {"format": form, "canvas_size": canvas, "clamping_mode": None}
        found["boxes"] = _plain(change(tv_tensors.BoundingBoxes(boxes, **given), False))
    if "keypoints" in sample:
        found["keypoints"] = sample["keypoints"].clone()
        found["keypoints"][..., :2] = points(sample["keypoints"][..., :2])
    if "sides" in sample:
        height, width = sides(found)
        found["sides"] = sample["sides"].new_tensor([width, height])
    return found


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor)


def resize(sample: Sample, height: int, width: int) -> Sample:
    """The sample at other sides; the image by bilinear interpolation, antialiased."""
    old = sides(sample)
    if old == (height, width):
        return dict(sample)
    factors = width / old[1], height / old[0]

    def change(tensor: Tensor, image: bool) -> Tensor:
        if isinstance(tensor, tv_tensors.Mask) and tensor.numel() == 0:
            return tensor.new_zeros(len(tensor), height, width)
        mode = InterpolationMode.BILINEAR if image else InterpolationMode.NEAREST_EXACT
        return F.resize(tensor, [height, width], interpolation=mode, antialias=image)

    def points(places: Tensor) -> Tensor:
        return places * places.new_tensor(factors)

    found = _changed(sample, change, points)
    for name in ("box_area", "panoptic_area"):
        if name in sample:
            found[name] = sample[name] * (factors[0] * factors[1])
    return found


def flip(sample: Sample, pairs: Sequence[tuple[int, int]] = ()) -> Sample:
    """Left and right exchanged.

    pairs: places of keypoints that change their sides too, as the left and the right eye.
    """
    width = sides(sample)[1]

    def points(places: Tensor) -> Tensor:
        return torch.stack([width - places[..., 0], places[..., 1]], -1)

    found = _changed(sample, lambda tensor, _: F.horizontal_flip(tensor), points)
    if "keypoints" in sample:
        # a point that nobody labelled has no place
        known = found["keypoints"][..., 2:] > 0
        found["keypoints"] = torch.where(known, found["keypoints"], sample["keypoints"])
        order = list(range(found["keypoints"].shape[1]))
        for left, right in pairs:
            order[left], order[right] = right, left
        found["keypoints"] = found["keypoints"][:, order]
    return found


def crop(
    sample: Sample,
    top: int,
    left: int,
    height: int,
    width: int,
    least: float = 0.0,
    tight: bool = False,
) -> Sample:
    """What of the sample lies in a rectangle within the image; boxes are clamped to it.

    An object goes, from all columns alike, where no more than the share `least` of its box is left
    (0: nothing); or where its mask had pixels and has none left. A segment goes where no pixel of
    it is left, and the others are numbered anew. A keypoint outside is not labelled any more. An
    area is what is left of the mask, or else the share of the box.

    tight: boxes become those of what is left of their masks, where they have any.
    """
    whole = sides(sample)
    assert 0 <= top <= top + height <= whole[0] and 0 <= left <= left + width <= whole[1], "outside"

    def change(tensor: Tensor, _: bool) -> Tensor:
        return F.crop(tensor, top, left, height, width)

    def points(places: Tensor) -> Tensor:
        return places - places.new_tensor([left, top])

    found = _changed(sample, change, points)
    if "keypoints" in found:
        x, y, seen = found["keypoints"].unbind(-1)
        inside = (x >= 0) & (y >= 0) & (x <= width) & (y <= height) & (seen > 0)
        found["keypoints"] *= inside[..., None]
    if "boxes" in found and whole != (height, width):
        cut_objects(sample, found, (top, left, height, width), least, tight)
    if "panoptic" in found and whole != (height, width):
        cut_segments(found)
    return found


def each(
    batch: dict[str, Tensor | list[Tensor]], change: Callable[[Sample, int], Sample]
) -> dict[str, list[Tensor]]:
    """A batch with `change` made of each sample, which it is handed with its row.

    Columns come as lists: images may be of any sizes.
    """
    changed: dict[str, list[Tensor]] = {}
    for row in range(len(batch["image"])):
        sample = change({name: column[row] for name, column in batch.items()}, row)
        for name, tensor in sample.items():
            changed.setdefault(name, []).append(tensor)
    return changed or {name: [] for name in batch}
