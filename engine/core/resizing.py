"""Images and clips given to a network at other pixels than they are stored with."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resized(images: Tensor, size: int) -> Tensor:
    """Images uint8 (n, h, w, 3) -> uint8 (n, size, size, 3), antialiased; as they are where equal.

    Testing at more pixels than training saw may help (Touvron, Vedaldi, Douze, Jégou 2019, "Fixing
    the train-test resolution discrepancy", arXiv 1906.06423).
    """
    if images.shape[1:3] == (size, size):
        return images
    planes = images.permute(0, 3, 1, 2).float()
    found = F.interpolate(planes, size=(size, size), mode="bilinear", antialias=True)
    # views take whole levels, as shards give them; linear weights never leave 0 to 255
    return found.round().to(torch.uint8).permute(0, 2, 3, 1)


def with_short_side(clips: Tensor, size: int) -> Tensor:
    """Clips uint8 (k, t, h, w, 3) of one video with a short side of `size`, aspect kept."""
    height, width = clips.shape[2:4]
    short = min(height, width)
    if short == size:
        return clips
    sides = [max(1, round(side * size / short)) for side in (height, width)]
    planes = clips.flatten(0, 1).permute(0, 3, 1, 2).float()
    found = F.interpolate(planes, size=sides, mode="bilinear", antialias=True)
    levels = found.round().to(torch.uint8).permute(0, 2, 3, 1)
    return levels.unflatten(0, clips.shape[:2])
