"""Training and test views of images whose objects have places: scaled, flipped, cropped, padded.

Scales: He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870, section 3.1 (the
shorter side 800 px) and appendix A (640 to 800). Crops of 0.3 to 1 of each side: Liu et al. 2016,
"SSD: Single Shot MultiBox Detector", arXiv 1512.02325, section 2.2.

Every image keeps its aspect and lies in the upper left corner of a canvas, zeros (the mean colour)
beside it: that is padding, there are no buckets. Where `canvas` is given all canvases are squares
of it, and what is learnt of an image does not depend on the others of its batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.geometry import Sample, crop, each, flip, resize, scaled_sides, sides
from models.blocks.augment.places import random_crops, random_flips, random_sides
from models.blocks.augment.views import Views

__all__ = ["SceneViews", "padded"]

Batch = dict[str, Tensor | list[Tensor]]
Contents = list[tuple[int, int]]  # height and width of each image in its canvas
SEEDS = 2**24  # a float32 holds so many whole numbers


class SceneViews(nn.Module):
    """Columns of a data set, a list each -> the same columns of the views, image float (3, h, w).

    shorter: px of the shorter side, of which each image gets one; none: as it is stored.
    longer: px that the longer side has at the most.
    test_shorter: px of the shorter side in a test; None: the largest of `shorter`.
    flip: probability of a horizontal flip.
    crop: least share of each side that a crop has, 1: no crops. kept: an object of which no more
        than this share of its box is left is dropped.
    canvas: px of the side of all canvases; None: what the largest image of a batch needs.
    step: px that sides of canvases are whole multiples of.
    mean, std: of each colour, those of the backbone's input.
    """

    def __init__(
        self,
        shorter: Sequence[int],
        longer: int | None,
        test_shorter: int | None,
        flip: float,
        crop: float,
        kept: float,
        canvas: int | None,
        step: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.shorter, self.flip, self.crop, self.kept = list(shorter), flip, crop, kept
        self.test_shorter = test_shorter or max(self.shorter, default=None)
        self.longer, self.canvas, self.step = longer, canvas, step
        self.whole = Views((1, 1), (1, 1), 0, mean=mean, std=std)

    def forward(self, batch: Batch, draws: Draws) -> Batch:
        """Random views, `content` int64 (n, 2) and `sampling` int64 (n,) beside them.

        What is drawn for an image is the same whichever worker holds it.
        """
        images = batch["image"]
        n = len(images)
        shorts = random_sides(draws, n, self.shorter) if self.shorter else [None] * n
        flips = random_flips(draws, n, self.flip)
        given = [tuple(image.shape[:2]) for image in images]
        scaled = [self.sides(*one, short) for one, short in zip(given, shorts, strict=True)]
        cuts = random_crops(draws, scaled, self.crop, 1.0)
        seeds = (draws.rand(n) * SEEDS).long()

        def changed(sample: Sample, row: int) -> Sample:
            found = resize(sample, *scaled[row])
            if flips[row]:
                found = flip(found)
            if self.crop < 1:
                found = crop(found, *cuts[row], least=self.kept)
            return found

        views = each(batch, changed)
        views["content"] = torch.tensor([sides({"image": image}) for image in views["image"]])
        views["content"] = views["content"].reshape(-1, 2)
        views["sampling"] = seeds
        canvas = self.canvas_of([tuple(one) for one in views["content"].tolist()])
        views["image"] = self.on_canvas(views["image"], canvas)
        return views

    def sides(
        self, height: int, width: int, short: int | None, bounded: bool = True
    ) -> tuple[int, int]:
        """Height and width of an image as a network sees it, of a shorter side of `short` px.

        bounded: whether `longer` and `canvas` bound the longer one.
        """
        bounds = [most for most in (self.longer, self.canvas) if most and bounded]
        shorter = min(height, width) if short is None else short
        whole = -(-shorter * max(height, width) // min(height, width))
        if short is None and whole <= min(bounds, default=whole):
            return height, width
        return scaled_sides(height, width, shorter, min(bounds, default=whole))

    def canvas_of(self, contents: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Sides of the canvas of these images; ValueError where they are larger than `canvas`."""
        if not contents:
            return self.step, self.step
        height, width = map(max, zip(*contents, strict=True))
        if self.canvas is None:
            return self._whole(height), self._whole(width)
        if max(height, width) > self.canvas:
            raise ValueError(
                f"canvas: {self.canvas} px, and an image is {width} x {height} px there: set "
                "`longer` to the canvas or less, or give a larger canvas"
            )
        return self._whole(self.canvas), self._whole(self.canvas)

    def _whole(self, side: int) -> int:
        return -(-side // self.step) * self.step

    def on_canvas(self, images: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """Images uint8 (h, w, 3) normalised on a canvas each: (n, 3, *canvas), channels last."""
        where = images[0].device if images else None
        whole = torch.zeros(len(images), *canvas, 3, device=where).permute(0, 3, 1, 2)
        for row, image in enumerate(images):
            height, width = image.shape[:2]
            whole[row, :, :height, :width] = self.whole.normalised(image.permute(2, 0, 1))
        return whole

    def placed(
        self, images: Sequence[Tensor], shorter: int | None = None, mirrored: bool = False
    ) -> tuple[list[Tensor], Contents]:
        """Test views: each image (3, h, w) on a canvas of its own, and what of it the image takes.

        shorter: px of the shorter side in the place of the test's.
        """
        found, contents = [], []
        for image in images:
            short = shorter or self.test_shorter
            seen = self.sides(*image.shape[:2], short, bounded=shorter is None)
            sample = resize({"image": image}, *seen)
            if mirrored:
                sample = flip(sample)
            content = sides(sample)
            # several scales may be larger than the canvas of training
            fits = self.canvas is not None and max(content) <= self.canvas
            canvas = self.canvas_of([content]) if fits else tuple(map(self._whole, content))
            found += self.on_canvas([sample["image"]], canvas).unbind(0)
            contents.append(content)
        return found, contents


def padded(masks: Tensor, canvas: tuple[int, int], value: int = 0) -> Tensor:
    """Maps (..., h, w) in the upper left corner of (..., *canvas), `value` beside them."""
    whole = masks.new_full((*masks.shape[:-2], *canvas), value)
    whole[..., : masks.shape[-2], : masks.shape[-1]] = masks
    return whole
