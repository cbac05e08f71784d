"""N random operations of magnitude M on each image of a batch.

Cubuk, Zoph, Shlens, Le 2019, "RandAugment: Practical automated data augmentation with a reduced
search space", arXiv 1909.13719, section 3. Operations and ranges are torchvision's (M of 30,
nearest pixel, black outside), whose own take one sign per call and make tensors on the device from
lists, which waits for it.
"""

from math import ceil, cos, radians, sin

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.augment.draws import Draws, moved

__all__ = ["OPERATIONS", "RandAugment"]


class RandAugment:
    """uint8 (n, 3, h, w) -> the same.

    An operation and its sign are drawn for each image, N times over.
    """

    def __init__(self, N: int, M: int) -> None:
        if N < 0 or not 0 <= M <= 30:
            raise ValueError(
                f"randaugment [{N}, {M}]: give a number of operations and their magnitude, 0 to 30"
            )
        self.N, self.strength = N, M / 30

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        images = images.contiguous()  # planes are two to three times as fast on a CPU
        for _ in range(self.N):
            picks, signs = draws.rand(len(images), 2).unbind(1)
            picks, signs = (picks * len(OPERATIONS)).long(), (signs < 0.5) * 2.0 - 1
            # the host knows the groups, so that splitting waits for nothing
            order, counts = (
                picks.argsort(stable=True),
                picks.bincount(minlength=len(OPERATIONS)).tolist(),
            )
            groups = images.index_select(0, moved(order, images.device)).split(counts)
            signs = moved(signs[order], images.device).split(counts)
            operations = zip(OPERATIONS.values(), groups, signs, strict=True)
            parts = [
                operation(group, sign, self.strength)
                for operation, group, sign in operations
                if len(group)
            ]
            images = torch.cat(parts or [images]).index_select(
                0, moved(order.argsort(), images.device)
            )
        return images


# Every operation takes images, a sign (n,) for each, and a strength from 0 to 1; some have no sign,
# some no strength.


def _identity(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    return images


def _shear(images: Tensor, signs: Tensor, strength: float, axis: int) -> Tensor:
    """About the top left corner, by at most 0.3."""
    size, across = images.shape[-1 - axis], images.shape[-2 + axis]
    theta = _eye(images)
    theta[:, axis, 1 - axis] = theta[:, axis, 2] = -0.3 * strength * across / size * signs
    return _warped(images, theta)


def _translate(images: Tensor, signs: Tensor, strength: float, axis: int) -> Tensor:
    """By whole pixels, at most 150 / 331 of the size."""
    size = images.shape[-1 - axis]
    theta = _eye(images)
    theta[:, axis, 2] = -2 / size * int(150 / 331 * size * strength) * signs
    return _warped(images, theta)


def _rotate(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    """About the centre, by at most 30 degrees."""
    (h, w), angle, theta = images.shape[-2:], radians(30 * strength), _eye(images)
    theta[:, 0, 0] = theta[:, 1, 1] = cos(angle)
    theta[:, 0, 1], theta[:, 1, 0] = -sin(angle) * h / w * signs, sin(angle) * w / h * signs
    return _warped(images, theta)


def _eye(images: Tensor) -> Tensor:
    return torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)


def _warped(images: Tensor, theta: Tensor) -> Tensor:
    """Every image at its affine map's places, (n, 2, 3) as F.affine_grid has it."""
    # F.affine_grid itself multiplies matrices, which TF32 would round
    h, w = images.shape[-2:]
    x = torch.linspace(1 / w - 1, 1 - 1 / w, w, device=images.device)
    y = torch.linspace(1 / h - 1, 1 - 1 / h, h, device=images.device)[:, None]
    xx, xy, shift = theta[..., None, None].unbind(2)
    grid = (xx * x + (xy * y + shift)).permute(0, 2, 3, 1)
    return F.grid_sample(images.float(), grid, mode="nearest", align_corners=False).to(torch.uint8)


def _brightness(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    return _blended(images, torch.zeros_like(images[:, :1]), signs, strength)


def _colour(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    return _blended(images, _grey(images), signs, strength)


def _contrast(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    return _blended(images, _grey(images).mean((1, 2, 3), keepdim=True), signs, strength)


def _sharpness(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    if min(images.shape[-2:]) < 3:
        return images
    # but for the border: the 3 x 3 mean with five times the weight for the centre
    smooth = images.float()
    rows = smooth[:, :, :-2] + smooth[:, :, 1:-1] + smooth[:, :, 2:]
    inner = smooth[:, :, 1:-1, 1:-1]
    inner.mul_(4).add_(rows[..., :-2]).add_(rows[..., 1:-1]).add_(rows[..., 2:]).div_(13).round_()
    return _blended(images, smooth, signs, strength)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.float().split(1, dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor()


def _blended(images: Tensor, other: Tensor, signs: Tensor, strength: float) -> Tensor:
    """Up to 0.9 away from the other picture, or towards it."""
    change = (0.9 * strength * signs).view(-1, 1, 1, 1)
    return (images + (images - other) * change).clamp_(0, 255).to(torch.uint8)


def _posterize(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    """At least four of the eight bits stay."""
    return images & (256 - 2 ** round(4 * strength))


def _solarize(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    """Values from the threshold on are inverted."""
    return images ^ ((images >= ceil(255 - 255 * strength)).to(torch.uint8) * 255)


def _autocontrast(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    """Each channel's darkest value becomes 0 and its brightest 255."""
    low, high = images.amin((2, 3), keepdim=True).float(), images.amax((2, 3), keepdim=True).float()
    stretched = ((images - low) / ((high - low) * (1 / 255))).clamp_(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, images)


def _equalize(images: Tensor, signs: Tensor, strength: float) -> Tensor:
    """Each channel's histogram becomes flat, by the integer rule of PIL."""
    values = images.flatten(2).long()
    histogram = torch.zeros(*values.shape[:2], 256, dtype=torch.long, device=images.device)
    histogram.scatter_add_(2, values, torch.ones_like(values))
    brightest = histogram.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - brightest) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, table.gather(2, values), values).view(images.shape).to(torch.uint8)


OPERATIONS = {
    "Identity": _identity,
    "ShearX": lambda *given: _shear(*given, axis=0),
    "ShearY": lambda *given: _shear(*given, axis=1),
    "TranslateX": lambda *given: _translate(*given, axis=0),
    "TranslateY": lambda *given: _translate(*given, axis=1),
    "Rotate": _rotate,
    "Brightness": _brightness,
    "Color": _colour,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
}
