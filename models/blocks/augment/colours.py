"""Colours and sharpness of a batch of images, each image by numbers of its own.

Images are float (n, 3, h, w) of 0 to 1, changed in place and returned. The formulas are those of
torchvision.transforms.v2.functional for such images; planes that lie one after the other are
fastest on a CPU. Nothing is drawn here, and nothing waits for a GPU.

Jitter, greyscale and blur: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for
Contrastive Learning of Visual Representations", arXiv 2002.05709, appendix A. Solarisation: Grill
et al. 2020, "Bootstrap your own latent", arXiv 2006.07733, appendix B.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import ceil

import torch
from torch import Tensor

__all__ = ["blur", "brightness", "contrast", "grey", "hue", "jitter", "saturation", "solarise"]

LUMINANCE = (0.2989, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601-2)
# in turns from red, of the hexagon of hues: what is opposite of red; green; blue
CORNERS = (1 / 2, 1 / 3, 2 / 3)
DEVIATIONS = 3  # that a blur reaches: beyond lie 0.3 % of its weight
NEGLIGIBLE = 1e-12  # of the weight of a pixel itself
BLOCK = 32  # columns blurred by one matrix: wider ones hold more zeros, narrower ones overlap more


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with black; 1 leaves an image as it is."""
    return images.mul_(_each(factors)).clamp_(0, 1)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with the image's mean grey; 1 leaves it as it is."""
    means = _luminance(images.mean((2, 3))).flatten()
    return images.mul_(_each(factors)).add_(_each(means * (1 - factors))).clamp_(0, 1)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blended with the pixels' grey; 1 leaves an image as it is."""
    return torch.lerp(_luminance(images), images, _each(factors), out=images).clamp_(0, 1)


def hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Hues shifted by -0.5 to 0.5 turns.

    Colours of equal extremes lie on a hexagon: a way along its edges from red that is h sides long
    leads to h = 1 + green + blue - red (of 0 to 1) on green's side and to -h on blue's, and each
    colour is a function of the distance to its corner. So neither needs a choice among sectors.
    """
    red, green, blue = images.unbind(1)
    low = torch.minimum(red, green).minimum(blue)
    high = torch.maximum(red, green).maximum(blue)
    turns = (green + blue).sub_(red).sub_(low)
    chroma = high - low
    # of a grey pixel the numerator is 0, whatever it is divided by
    around = (6 * chroma).clamp_(min=torch.finfo(images.dtype).tiny)
    turns.div_(around).add_(1 / 6).copysign_(green - blue)
    # one turn more, so that the fraction is of a positive number
    turns.add_(1 + shifts.view(-1, 1, 1)).frac_()
    for plane, corner in zip((red, green, blue), CORNERS, strict=True):
        torch.sub(turns, corner, out=plane).abs_()
    red.neg_().add_(1 / 2)
    images.clamp_(1 / 6, 1 / 3)
    base = high.add_(chroma)[:, None]
    return torch.addcmul(base, around[:, None], images, value=-1, out=images)


def jitter(
    images: Tensor, factors: Tensor, order: Iterable[int], acting: tuple[bool, ...] = (True,) * 4
) -> Tensor:
    """Brightness, contrast, saturation and hue by factors (n, 4), in an order of 0 to 3.

    acting: which of them do anything; the others are left out.
    """
    operations = (brightness, contrast, saturation, hue)
    for place in order:
        if acting[place]:
            operations[place](images, factors[:, place])
    return images


def grey(images: Tensor) -> Tensor:
    """Three equal colours of the same luminance."""
    return images.copy_(_luminance(images).expand_as(images))


def solarise(images: Tensor) -> Tensor:
    """Values from one half on are inverted."""
    return torch.minimum(images, 1 - images, out=images)


def blur(images: Tensor, sigmas: Tensor, widest: float) -> Tensor:
    """Convolved with Gaussians of standard deviations (n,) in pixels, with a reflecting border.

    widest: the largest that there may be: it sets how far all reach, in an image that is so wide.

    One after the other, columns and rows are multiplied by matrices of a few diagonals, in blocks,
    which is several times as fast on a CPU as a convolution with a kernel per image.
    """
    n, _, height, width = images.shape
    # lines of three colours each; a copy even of images one pixel wide
    lines = images.new_empty(n, height, 3, width).copy_(images.transpose(1, 2)).flatten(2)
    down = torch.empty_like(lines)
    blocks = list(_blocks(height, sigmas, widest))
    for own, reach, weights in blocks:
        torch.bmm(weights.transpose(1, 2), lines[:, reach], out=down[:, own])
    down = down.view(n, 3 * height, width)
    across = lines.view(n, 3 * height, width)
    for own, reach, weights in blocks if width == height else _blocks(width, sigmas, widest):
        torch.bmm(down[:, :, reach], weights, out=across[:, :, own])
    return images.copy_(across.view(n, height, 3, width).transpose(1, 2))


def _each(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)


def _luminance(images: Tensor) -> Tensor:
    red, green, blue = images.split(1, 1)
    return (red * LUMINANCE[0]).add_(green, alpha=LUMINANCE[1]).add_(blue, alpha=LUMINANCE[2])


def _blocks(side: int, sigmas: Tensor, widest: float) -> Iterator[tuple[slice, slice, Tensor]]:
    """Blocks of places, the places that each is blurred from, and weights (n, from, to).

    Weights are linear in the kernel's values at each distance, of which a place at the border takes
    some twice.
    """
    radius = min(ceil(DEVIATIONS * widest), side - 1)
    distances = torch.arange(radius + 1, device=sigmas.device)
    kernels = torch.exp(-0.5 * (distances / sigmas[:, None]) ** 2)
    # what is too small to count is left out: a CPU takes many times as long for denormal numbers
    kernels = kernels * (kernels > NEGLIGIBLE)
    kernels = kernels / (2 * kernels.sum(1, keepdim=True) - 1)
    for start in range(0, side, BLOCK):
        own = slice(start, min(side, start + BLOCK))
        reach = slice(max(0, start - radius), min(side, start + BLOCK + radius))
        times = _times(side, radius, start, reach.start, reach.stop, sigmas.device)
        yield own, reach, (kernels @ times.flatten(1)).unflatten(1, times.shape[1:])


@lru_cache(maxsize=256)
def _times(side: int, radius: int, start: int, low: int, high: int, device: torch.device) -> Tensor:
    """How often each distance (radius + 1, from, to) leads from one place to another."""
    places = torch.arange(start, min(start + BLOCK, side))
    found = torch.zeros(radius + 1, high - low, len(places))
    for step in range(-radius, radius + 1):
        source = (places + step).abs()  # reflected at the first pixel, and then at the last
        source = side - 1 - (side - 1 - source).abs()
        found[abs(step), source - low, places - start] += 1
    return found.to(device)
