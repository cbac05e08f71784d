"""Training and test views of a whole batch of images, without a Python loop over images.

Random resized crop: Szegedy et al. 2015, "Going Deeper with Convolutions", arXiv 1409.4842, section 6.
"""

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Views"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Views(nn.Module):
    """images uint8 (n, h, w, 3) -> normalised float (n, 3, h, w), channels last in memory.

    scale: range of the crop's share of the image area. ratio: range of its width over height. flip: probability.
    """

    def __init__(self, scale: tuple[float, float], ratio: tuple[float, float], flip: float) -> None:
        super().__init__()
        self.scale, self.ratio, self.flip = scale, ratio, flip
        mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
        # (x / 255 - mean) / std as one multiply-add
        self.register_buffer("gain", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)

    def plain(self, images: Tensor) -> Tensor:
        """The test view: normalised, nothing else."""
        return torch.addcmul(self.offset, images.permute(0, 3, 1, 2).float(), self.gain)

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The training view: every image cropped, resized back and maybe flipped, each in its own way."""
        n, h, w, _ = images.shape
        theta = self.boxes(n, h / w, generator).to(images.device)
        grid = F.affine_grid(theta, [n, 3, h, w], align_corners=False)
        # bilinear weights sum to one, so normalising first gives the same picture
        views = F.grid_sample(self.plain(images), grid, padding_mode="border", align_corners=False)
        return views.contiguous(memory_format=torch.channels_last)

    def boxes(self, n: int, aspect: float, generator: torch.Generator) -> Tensor:
        """Affine maps (n, 2, 3) from a view to its crop; aspect is the image's height over width."""
        area, ratio, x, y, flip = torch.rand(5, n, generator=generator, device=generator.device)
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * area
        low, high = log(self.ratio[0]), log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * ratio) * aspect
        # a crop longer than the image is cut at its border rather than drawn again
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        theta = torch.zeros(n, 2, 3, device=generator.device)
        theta[:, 0, 0] = torch.where(flip < self.flip, -width, width)
        theta[:, 0, 2] = (1 - width) * (2 * x - 1)
        theta[:, 1, 1] = height
        theta[:, 1, 2] = (1 - height) * (2 * y - 1)
        return theta
