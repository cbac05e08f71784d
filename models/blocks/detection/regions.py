"""What a pyramid shows in regions of its images: RoIAlign, each from the level that suits its size.

He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870, section 3; the level: Lin,
Dollar, Girshick, He, Hariharan, Belongie 2017, "Feature Pyramid Networks for Object Detection",
arXiv 1612.03144, equation 1. torchvision's kernel; its MultiScaleRoIAlign keeps the scales of the
first image that it sees, and knows no half pixel.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

__all__ = ["CANONICAL", "RegionAlign", "levels_of"]

CANONICAL = 224  # px, the side of an image of ImageNet, of which a trunk's stride-16 map is made
CANONICAL_STRIDE = 16


def levels_of(boxes: Tensor, strides: Sequence[int], canonical: float = CANONICAL) -> Tensor:
    """The level int64 (r,), a place in `strides`, that each region (r, 4) is pooled from.

    canonical: px, the side of the smallest square region of the level of stride 16. Equation 1;
    where the pyramid has no such level, the nearest one.
    """
    sides = boxes.float()
    sides = ((sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])).clamp(min=0).sqrt()
    # a side of exactly 224 px is not to fall below it by a rounding
    stride = torch.floor(torch.log2(sides / canonical) + 1e-6).exp2() * CANONICAL_STRIDE
    bounds = torch.tensor(strides, dtype=torch.float32, device=boxes.device)
    return (torch.bucketize(stride, bounds, right=True) - 1).clamp(min=0)


class RegionAlign(nn.Module):
    """Maps (n, c, h, w) of a pyramid and regions of each image -> (r, c, bins, bins) of all.

    strides: px of the canvas to a place of each map.
    bins: parts of a region to a side.
    aligned: whether a pixel's value stands at its middle, as it does (detectron2); false: at its
        upper left corner (torchvision).
    canonical: as levels_of.
    samples: of each bin and axis.
    """

    def __init__(
        self,
        strides: Sequence[int],
        bins: int,
        aligned: bool = True,
        canonical: float = CANONICAL,
        samples: int = 2,
    ) -> None:
        super().__init__()
        self.strides, self.bins, self.aligned = tuple(strides), bins, aligned
        self.canonical, self.samples = canonical, samples

    def forward(self, maps: Sequence[Tensor], regions: Sequence[Tensor]) -> Tensor:
        """Regions: float (r, 4) for each image, px of the canvas. Rows by image, then by region.

        float32 at least: bfloat16 has no two neighbouring pixels from 256 on.
        """
        assert len(maps) == len(self.strides), "a map for each stride"
        boxes = torch.cat(list(regions))
        counts = torch.tensor([len(each) for each in regions], device=boxes.device)
        image = torch.arange(len(regions), device=boxes.device).repeat_interleave(counts)
        levels = levels_of(boxes, self.strides, self.canonical)
        dtype = torch.promote_types(maps[0].dtype, torch.float32)
        rois = torch.cat((image[:, None].to(dtype), boxes.to(dtype)), 1)
        parts, places = [], []
        for level, (each, stride) in enumerate(zip(maps, self.strides, strict=True)):
            place = (levels == level).nonzero()[:, 0]
            parts.append(self._pooled(each.to(dtype), rois[place], stride))
            places.append(place)
        if len(boxes) in map(len, places):
            # of small images all are of one level, and stand in order
            return torch.cat(parts)
        return torch.cat(parts)[torch.cat(places).argsort()]

    def _pooled(self, level: Tensor, rois: Tensor, stride: int) -> Tensor:
        bins, samples = self.bins, self.samples
        return roi_align(level, rois, bins, 1 / stride, samples, self.aligned)
