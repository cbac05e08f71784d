"""Deep features of images for search: regional maximum activations of a backbone's last map.

Tolias, Sicre, Jégou 2016, "Particular Object Retrieval with Integral Max-Pooling of CNN
Activations", arXiv 1511.05879, section 3.2 (R-MAC); without its PCA whitening. Used by Mahajan et
al. 2018 (arXiv 1805.00932) to find duplicates.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.device import device
from engine.core.layout import laid_out, placed
from engine.core.numerics import numerics


def regions(height: int, width: int, levels: int) -> list[tuple[int, int, int]]:
    """(top, left, side) of the squares of levels 1 to `levels`.

    Level l has squares of side 2 min(h, w) / (l + 1): l along the shorter side, and along the
    longer one l + m, where m is such that neighbouring squares of level 1 overlap by the share that
    is nearest to 40 %.
    """
    short = min(height, width)
    extra = _extra(height, width)
    found = []
    for level in range(1, levels + 1):
        # a map of one pixel has regions too
        side = max(1, 2 * short // (level + 1))
        down = level + (extra if height > width else 0)
        across = level + (extra if width > height else 0)
        found += [
            (y, x, side) for y in _starts(height, side, down) for x in _starts(width, side, across)
        ]
    return found


def _extra(height: int, width: int) -> int:
    """How many more squares the longer side has."""
    short, long = sorted((height, width))
    if short == long:
        return 0
    # squares of level 1 have the shorter side; neighbouring ones are (long - short) / m apart
    overlaps = {m: 1 - (long - short) / (m * short) for m in range(1, 7)}
    return min(overlaps, key=lambda m: abs(overlaps[m] - 0.4))


def _starts(length: int, side: int, count: int) -> list[int]:
    """`count` places of a window, evenly from one end to the other, rounded down."""
    return [(length - side) * i // max(1, count - 1) for i in range(count)]


def rmac(maps: Tensor, levels: int = 3) -> Tensor:
    """Feature maps (n, c, h, w) -> (n, c) of length 1: all regions' normalised maxima, summed."""
    total = torch.zeros(maps.shape[:2], dtype=maps.dtype, device=maps.device)
    for y, x, side in regions(*maps.shape[2:], levels):
        total += F.normalize(maps[:, :, y : y + side, x : x + side].amax((2, 3)), dim=1)
    return F.normalize(total, dim=1)


@numerics()
@torch.no_grad()
def rmac_features(backbone: nn.Module, batches: Iterable[Tensor], levels: int = 3) -> Tensor:
    """R-MAC (n, channels), float32 on the CPU, of batches of normalised images (n, 3, h, w)."""
    where = device()
    placed(backbone, where).eval()
    found = []
    for images in batches:
        images = laid_out(images.to(where))
        found.append(rmac(backbone(images)[-1], levels).float().cpu())
    return torch.cat(found)
