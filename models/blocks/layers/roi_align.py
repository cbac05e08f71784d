"""RoIAlign: what a map shows in a box, in bins of equal number whatever the size of the box.

He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870, section 3. As two products of
matrices: torchvision's kernel has no deterministic gradient on a GPU, where it compiles another in
its place. It costs more where maps are large.
"""

import torch
from torch import Tensor

__all__ = ["roi_align"]

SAMPLES = 2  # of each bin and axis, as Faster R-CNN's code has it


def roi_align(maps: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Maps (n, c, h, w) in boxes (n, b, 4) of each: (n, b, c, bins, bins).

    boxes: x1, y1, x2, y2 in pixels of the map, which covers 0 to its side; none lies outside.
    """
    x1, y1, x2, y2 = boxes.to(maps.dtype).unbind(2)
    across, down = _shares(x1, x2, maps.shape[3], bins), _shares(y1, y2, maps.shape[2], bins)
    rows = torch.einsum("nbph,nchw->nbcpw", down, maps)
    return torch.einsum("nbcpw,nbqw->nbcpq", rows, across)


def _shares(start: Tensor, end: Tensor, side: int, bins: int) -> Tensor:
    """How much each pixel of an axis counts in bins (n, b, bins, side): linear interpolation."""
    like = {"device": start.device, "dtype": start.dtype}
    places = (torch.arange(bins * SAMPLES, **like) + 0.5) / (bins * SAMPLES)
    places = start[..., None] + (end - start)[..., None] * places
    # from a border on there is nothing to interpolate with
    places = (places - 0.5).clamp(0, side - 1)
    pixels = torch.arange(side, **like)
    found = (1 - (places[..., None] - pixels).abs()).clamp(min=0)
    return found.unflatten(2, (bins, SAMPLES)).mean(3)
