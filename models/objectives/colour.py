"""Colourisation: from the lightness of an image, the colour of every pixel.

Colours are bins of CIE Lab's ab plane.

Zhang, Isola, Efros 2016, "Colorful Image Colorization", arXiv 1603.08511, section 2. As a proxy for
labels: Liu et al. 2020, "Are Labels Necessary for Neural Architecture Search?", arXiv 2003.12056,
after whose code the head predicts at every position of the last map, bilinear interpolation brings
its logits to the pixels, and the loss is plain cross entropy against the nearest bin, without the
soft targets and the weights of rare colours of Zhang et al.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.methods.pretext import Pretext
from models.blocks.ranges import Part, Positive, Rising, Share, Stride

__all__ = ["Colour", "bins", "lab", "rgb"]

# IEC 61966-2-1: linear sRGB -> XYZ, and its white, D65
XYZ = (0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)
WHITE = 0.95047, 1.0, 1.08883
# L + 16 = 116 f(Y), a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z))
LAB, SHIFT = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0)), (16.0, 0.0, 0.0)
STEP, REACH = 10, 11  # width of a bin; bins to either side of grey


class Colour(Pretext):
    """image (n, 3, h, w), the normalised lightness thrice; label (n, h / stride, w / stride): bins.

    stride: side of the square of pixels whose mean colour is predicted.
    scale, ratio, flip: see Views.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        stride: Stride = 1,
        scale: Rising[Part] = (0.4, 1.0),
        ratio: Rising[Positive] = (3 / 4, 4 / 3),
        flip: Share = 0.5,
    ) -> None:
        super().__init__(backbone, head, scale, ratio, flip)
        self.stride = stride
        self.register_buffer("table", bins()[1], persistent=False)

    @staticmethod
    def facts(facts: dict[str, Any], **options: Any) -> dict[str, Any]:
        """A class per bin."""
        return facts | {"classes": len(bins()[0])}

    def puzzles(self, images: Tensor, draws: Draws) -> dict[str, Tensor]:
        """The lightness, and what bin the colour is in."""
        levels = ((images - self.augment.offset) / self.augment.gain / 255).clamp(0, 1)
        lightness, *ab = lab(levels.movedim(1, -1)).split(1, -1)
        ab = F.avg_pool2d(torch.cat(ab, -1).movedim(-1, 1), self.stride)
        cells = (ab / STEP).round().long().clamp(-REACH, REACH) + REACH
        return {
            "image": self.shown(lightness.movedim(-1, 1)),
            "label": self.table[cells[:, 0], cells[:, 1]],
        }

    def plain(self, images: Tensor) -> Tensor:
        """The normalised lightness."""
        return self.shown(lab(images / 255)[..., :1].movedim(-1, 1))

    def shown(self, lightness: Tensor) -> Tensor:
        """(n, 1, h, w) of 0 to 100, normalised, thrice: the backbone stays one of colour images."""
        mean, std = sum(self.augment.mean) / 3, sum(self.augment.std) / 3
        normalised = (lightness / 100 - mean) / std
        return normalised.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (n * h / stride * w / stride, bins)."""
        logits = self.head.classify(self.backbone(inputs)[-1].movedim(1, -1)).movedim(-1, 1)
        size = [side // self.stride for side in inputs.shape[2:]]
        return (
            F.interpolate(logits, size, mode="bilinear", align_corners=True)
            .movedim(1, -1)
            .flatten(0, 2)
        )


def lab(rgb: Tensor) -> Tensor:
    """CIE L, a, b (..., 3) of sRGB of 0 to 1 (..., 3)."""
    to_xyz, to_lab, shift = matrices(rgb.device)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ to_xyz
    f = torch.where(
        xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29
    )
    return f @ to_lab - shift


def rgb(lab: Tensor) -> Tensor:
    """The inverse: sRGB, below 0 or above 1 for what no screen shows."""
    to_xyz, to_lab, shift = matrices(lab.device)
    f = (lab + shift) @ to_lab.inverse()
    linear = torch.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) @ to_xyz.inverse()
    return torch.where(
        linear > 0.0031308, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055, linear * 12.92
    )


@cache
def matrices(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Linear sRGB -> XYZ of white 1, f(XYZ) -> (L + 16, a, b), and (16, 0, 0).

    Copied to a device once.
    """
    to_xyz, white, to_lab, shift = (
        torch.tensor(numbers, device=device) for numbers in (XYZ, WHITE, LAB, SHIFT)
    )
    return to_xyz.T / white, to_lab.T, shift


@cache
def bins() -> tuple[Tensor, Tensor]:
    """(centres (bins, 2) on a grid of 10, the nearest bin of each of the grid's cells (23, 23)).

    A bin is a cell that an 8-bit sRGB colour is in, which is 261. The 313 of Zhang et al. are these
    and 52 more along the border, that no such colour is nearest to: the targets are the same.
    """
    level = torch.linspace(0, 1, 256, device="cpu")
    plane = torch.cartesian_prod(level, level)
    # the colours of a plane a, b reach from surface to surface of the cube: the surface has them
    # all
    faces = [plane.new_full((len(plane), 1), end) for end in (0, 1)]
    surface = [torch.cat([plane, face], 1).roll(axis, 1) for face in faces for axis in range(3)]
    centres = ((lab(torch.cat(surface))[:, 1:] / STEP).round().unique(dim=0) * STEP).contiguous()
    grid = torch.arange(-REACH, REACH + 1, device="cpu") * float(STEP)
    table = torch.cdist(torch.cartesian_prod(grid, grid), centres).argmin(1)
    return centres, table.unflatten(0, (len(grid), -1))
