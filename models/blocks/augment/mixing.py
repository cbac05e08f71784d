"""Batches whose images are mixed in pairs, and their targets with them.

mixup: Zhang, Cisse, Dauphin, Lopez-Paz 2017, arXiv 1710.09412, equation 1.
CutMix: Yun, Han, Oh, Chun, Choe, Yoo 2019, arXiv 1905.04899, equations 1 and 2.
"""

from math import sqrt

from torch import Tensor

from models.blocks.augment.draws import Draws, moved

__all__ = ["box", "cutmix", "mix", "mixup"]


def mix(
    images: Tensor, targets: Tensor, draws: Draws, mixup_alpha: float, cutmix_alpha: float
) -> tuple[Tensor, Tensor]:
    """images (n, 3, h, w), probabilities (n, classes) -> both mixed by mixup or CutMix.

    Clips (n, 3, t, h, w), and several views of a sample (n, v, 3, ...), are mixed as images are: a
    box is the same in all frames and views.

    Alpha 0 turns a method off.

    One draw of Beta(alpha, alpha) a step, and even odds when both are on. Another number of workers
    changes nothing as long as each holds an even number of images; a pair cut in two is not mixed.
    """
    assert mixup_alpha or cutmix_alpha
    pick, x, y = draws.once(3).tolist()
    pasting = pick < 0.5 if mixup_alpha and cutmix_alpha else bool(cutmix_alpha)
    # one for the whole step, as timm and torchvision draw it
    share = draws.beta(cutmix_alpha if pasting else mixup_alpha)
    # neighbours: the step is shuffled already, and no worker needs another's images
    partners = moved(draws.partners(len(images)), images.device)
    if pasting:
        images, share = cutmix(
            images, partners, box(images.shape[-2], images.shape[-1], share, x, y)
        )
    else:
        images = mixup(images, partners, share)
    return images, mixup(targets, partners, share)


def mixup(values: Tensor, partners: Tensor, share: float) -> Tensor:
    """share * values + (1 - share) * those of their partners."""
    return values[partners].lerp_(values, share)


def box(h: int, w: int, share: float, x: float, y: float) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of 1 - share of the area about (x, y), cut at the border."""
    half = sqrt(1 - share) / 2
    x, y, wide, high = int(x * w), int(y * h), int(half * w), int(half * h)
    return max(x - wide, 0), max(y - high, 0), min(x + wide, w), min(y + high, h)


def cutmix(
    images: Tensor, partners: Tensor, box: tuple[int, int, int, int]
) -> tuple[Tensor, float]:
    """The images with the partners' pixels in the box, and the share of pixels that they keep."""
    left, top, right, bottom = box
    images, patch = images.clone(), images[..., top:bottom, left:right][partners]
    images[..., top:bottom, left:right] = patch
    # counted, for the border may have cut the box
    return images, 1 - patch.shape[-2] * patch.shape[-1] / (images.shape[-2] * images.shape[-1])
