"""Training and test views of a whole batch of images, on a CPU in parts that fit its cache.

Random resized crop: Szegedy et al. 2015, "Going Deeper with Convolutions", arXiv 1409.4842, section
6. Lighting noise: Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep CNNs",
section 4.1. Test resolution: Touvron, Vedaldi, Douze, Jegou 2019, "Fixing the train-test resolution
discrepancy", arXiv 1906.06423.
"""

from collections.abc import Callable, Sequence
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.draws import Draws, moved
from models.blocks.augment.randaugment import RandAugment

__all__ = ["Views", "normalisation"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# principal components of ImageNet's colours, red, green and blue of 0 to 1: a column each, as long
# as its deviation
IMAGENET_COLOURS = torch.tensor(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
) * torch.tensor([0.2175, 0.0188, 0.0045])
# pixels whose floats stay in a CPU core's second-level cache while they are worked on
CACHED = 1 << 15


class Views(nn.Module):
    """images uint8 (n, h, w, 3) -> normalised float (n, 3, h, w), channels last in memory.

    scale: range of the crop's share of the image area.
    ratio: range of its width over height.
    flip: probability of a horizontal flip.
    randaugment: number of operations and their magnitude.
    lighting: standard deviation of the colour noise.
    mean, std: of each colour, of 0 to 1, that are taken out: those of the backbone's input.
    """

    def __init__(
        self,
        scale: tuple[float, float],
        ratio: tuple[float, float],
        flip: float,
        randaugment: tuple[int, int] = (0, 0),
        lighting: float = 0.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.scale, self.ratio, self.flip, self.lighting = scale, ratio, flip, lighting
        self.randaugment = RandAugment(*randaugment)
        self.mean, self.std = tuple(mean), tuple(std)
        mean, std = torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)
        # (x / 255 - mean) / std as one multiply-add
        self.register_buffer("gain", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)

    def plain(self, images: Tensor) -> Tensor:
        """The test view: normalised, nothing else."""
        return self.normalised(images.permute(0, 3, 1, 2))

    def normalised(self, planes: Tensor) -> Tensor:
        """(n, 3, h, w) of 0 to 255 with the colours' mean and deviation taken out."""
        return torch.addcmul(self.offset, planes.float(), self.gain)

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """The training view: every image cropped, resized back, maybe flipped and recoloured."""
        if self.randaugment.N:
            crops = self.crops(images, draws, Tensor.float).round_().to(torch.uint8)
            views = self.normalised(self.randaugment(crops, draws)).contiguous(
                memory_format=torch.channels_last
            )
        else:  # bilinear weights sum to one, so normalising before the crop gives the same picture
            views = self.crops(images, draws, self.normalised)
        if self.lighting:
            noise = (
                self.lighting
                * draws.randn(len(images), 3)
                @ IMAGENET_COLOURS.T
                / torch.tensor(self.std)
            )
            views += moved(noise, images.device)[:, :, None, None]
        return views

    def crops(self, images: Tensor, draws: Draws, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        """Every image cropped, resized back and maybe flipped, after `prepare`.

        prepare: uint8 (n, 3, h, w) -> float.
        """
        n, h, w, _ = images.shape
        x, y = self.places(self.boxes(n, h / w, draws), (h, w), images.device)
        views = torch.empty(n, h, w, 3, device=images.device).permute(0, 3, 1, 2)
        threads = torch.get_num_threads()  # each works on whole images
        part = max(1, n) if images.is_cuda else max(threads, threads * CACHED // (h * w))
        for start in range(0, n, part):
            rows = slice(start, start + part)
            grid = torch.stack(torch.broadcast_tensors(x[rows, None, :], y[rows, :, None]), dim=-1)
            planes = prepare(images[rows].permute(0, 3, 1, 2)).contiguous()  # sampled fastest
            views[rows] = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
        return views

    def places(
        self, theta: Tensor, made: tuple[int, int], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Where n crops take their columns (n, width) and rows (n, height) from, from -1 to 1.

        theta: affine maps (n, 2, 3) that `boxes` drew; made: height and width of the crops.
        """
        theta = moved(theta, device)
        # the boxes are upright: columns depend on x alone, rows on y (F.affine_grid multiplies a
        # matrix per pixel)
        x = theta[:, :1, 0] * _centres(made[1], device) + theta[:, :1, 2]
        y = theta[:, 1:, 1] * _centres(made[0], device) + theta[:, 1:, 2]
        return x, y

    def boxes(self, n: int, aspect: float, draws: Draws) -> Tensor:
        """Affine maps (n, 2, 3) from a view to its crop.

        Aspect is the image's height over width.
        """
        area, ratio, x, y, flip = draws.rand(n, 5).unbind(1)
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * area
        low, high = log(self.ratio[0]), log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * ratio) * aspect
        # a crop longer than the image is cut at its border rather than drawn again
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = torch.where(flip < self.flip, -width, width)
        theta[:, 0, 2] = (1 - width) * (2 * x - 1)
        theta[:, 1, 1] = height
        theta[:, 1, 2] = (1 - height) * (2 * y - 1)
        return theta


def normalisation(backbone: nn.Module) -> dict[str, Sequence[float]]:
    """{mean, std} of the backbone's input, where it says; else of ImageNet."""
    mean = getattr(backbone, "mean", IMAGENET_MEAN)
    return {"mean": mean, "std": getattr(backbone, "std", IMAGENET_STD)}


def _centres(n: int, device: torch.device) -> Tensor:
    """Centres of n pixels in the coordinates -1 to 1 of F.grid_sample."""
    return torch.linspace(-1, 1, n, device=device) * (n - 1) / n
