"""Several random crops of each image, recoloured: the views of methods without labels.

Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
Representations", arXiv 2002.05709, section 3 and appendix A. Small crops beside them: Caron et al.
2020, "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", arXiv
2006.09882, section 3.3. Unlike strengths of the two views: Grill et al. 2020, arXiv 2006.07733,
appendix B.

The order of the jitter's four operations is drawn once for a step, as Kornia draws it, where
torchvision draws it for each image. All else is each crop's own. Values are not rounded between
operations. Crops are bilinear without antialiasing, which matters only where a crop has more pixels
than its view.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.looks import DRAWN, Looks, checked_jitter, drawn_looks, recoloured
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD, Views
from models.blocks.ranges import Count, Least, Part, Pixels, Positive, Rising, Share, Whole

__all__ = ["BARLOW", "BYOL", "DINO", "MOCO_V2", "SIMCLR", "SWAV", "Crops"]

CROPPED = 1 << 16  # pixels of the crops that are recoloured at a time on a CPU, within its cache
LEAST = 8  # pixels of a small crop's side

# the papers' views, as keyword arguments of Crops: functools.partial(Crops, **MOCO_V2)
SIMCLR = {"scale": (0.08, 1.0), "jitter": (0.8, 0.8, 0.8, 0.2), "blur": (0.5,)}
MOCO_V2 = {"scale": (0.2, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1), "blur": (0.5,)}
BYOL = {
    "scale": (0.08, 1.0),
    "jitter": (0.4, 0.4, 0.2, 0.1),
    "blur": (1.0, 0.1),
    "solarise": (0.0, 0.2),
}
BARLOW = BYOL
DINO = {
    "scale": (0.4, 1.0),
    "jitter": (0.4, 0.4, 0.2, 0.1),
    "blur": (1.0, 0.1, 0.5),
    "solarise": (0.0, 0.2, 0.0),
    "small": 8,
    "small_scale": (0.05, 0.4),
}
SWAV = {
    "scale": (0.14, 1.0),
    "jitter": (0.8, 0.8, 0.8, 0.2),
    "blur": (0.5,),
    "small": 6,
    "small_scale": (0.05, 0.14),
}


class Crops(nn.Module):
    """image uint8 (n, h, w, 3) -> image (n, views, 3, size, size), small (n, small, 3, s, s).

    Views lie one after the other in memory with their colours last: flatten(0, 1) copies nothing
    and is channels_last. The parameters are told in models/views/crops.py.
    """

    def __init__(
        self,
        views: Count = 2,
        scale: Rising[Part] = (0.2, 1.0),
        ratio: Rising[Positive] = (3 / 4, 4 / 3),
        flip: Share = 0.5,
        jitter: tuple[Least, Least, Least, Least] = (0.4, 0.4, 0.4, 0.1),
        jitter_share: Share = 0.8,
        grey: Share = 0.2,
        blur: Sequence[Share] = (0.5,),
        sigma: Rising[Positive] = (0.1, 2.0),
        solarise: Sequence[Share] = (0.0,),
        size: Pixels | None = None,
        small: Whole = 0,
        small_scale: Rising[Part] = (0.05, 0.4),
        small_size: Pixels | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        for name, shares in (("blur", blur), ("solarise", solarise)):
            if not shares:
                raise ValueError(f"{name}: give one share at least; [0] is none")
        self.count, self.size = views, size
        self.small, self.small_size = small, small_size
        self.jitter, self.jitter_share, self.grey = checked_jitter(jitter), jitter_share, grey
        self.blur, self.sigma, self.solarise = tuple(blur), tuple(sigma), tuple(solarise)
        self.whole = Views(scale, ratio, flip, mean=mean, std=std)
        self.parts = Views(small_scale, ratio, flip, mean=mean, std=std)

    def plain(self, images: Tensor) -> Tensor:
        """The test view: normalised, nothing else."""
        return self.whole.plain(images)

    def forward(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The views of a batch of a data set."""
        return self.with_crops(batch, draws)[0]

    def with_crops(
        self, batch: dict[str, Tensor], draws: Draws
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The same views, and where they lie: affine maps (n, views, 2, 3), on the host.

        They lead from a view to the image, both of -1 to 1, as F.affine_grid has them.
        """
        images, order = batch["image"], draws.once(4).argsort().tolist()
        whole, small = self.sides(images)
        views, more = range(self.count), range(self.count, self.count + self.small)
        # blurs are products of matrices, which autocast would compute in half precision
        with torch.autocast(images.device.type, enabled=False):
            image, crops = self._made(images, draws, self.whole, whole, views, order)
            made = {"image": image}
            if more:
                made["small"], _ = self._made(images, draws, self.parts, small, more, order)
        return made, crops

    def sides(self, images: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
        """Height and width of the views of images (n, h, w, 3), and of the small ones."""
        whole = (self.size, self.size) if self.size else tuple(images.shape[1:3])
        if self.small_size:
            return whole, (self.small_size, self.small_size)
        return whole, tuple(max(LEAST, round(side * 3 / 7)) for side in whole)

    def _made(
        self,
        images: Tensor,
        draws: Draws,
        crop: Views,
        sides: tuple[int, int],
        views: range,
        order: list[int],
    ) -> tuple[Tensor, Tensor]:
        """Views (n, v, 3, *sides) of all images, and the affine maps (n, v, 2, 3) to them."""
        n, v, aspect = len(images), len(views), images.shape[1] / images.shape[2]
        theta = [crop.boxes(n, aspect, draws) for _ in views]
        places = [crop.places(each, sides, images.device) for each in theta]
        x, y = (torch.stack(axis, 1) for axis in zip(*places, strict=True))
        looks = self._looks(draws.rand(n, v, DRAWN), views)
        made = torch.empty(n, v, *sides, 3, device=images.device).permute(0, 1, 4, 2, 3)
        for rows, some in _parts(n, v, sides[0] * sides[1], images.is_cuda):
            # of 0 to 1; grid_sample is as fast on pixels as on planes
            sources = images[rows].permute(0, 3, 1, 2).float().mul_(1 / 255)
            across, down = x[rows, some, None, :], y[rows, some, :, None]
            grid = torch.stack(torch.broadcast_tensors(across, down), -1)
            # the views of an image one below the other
            crops = F.grid_sample(
                sources, grid.flatten(1, 2), padding_mode="border", align_corners=False
            )
            crops = crops.unflatten(2, grid.shape[1:3]).transpose(1, 2).flatten(0, 1)
            recoloured(crops, looks.of(rows, some), order)
            crops.mul_(255 * crop.gain).add_(crop.offset)
            made[rows, some] = crops.unflatten(0, grid.shape[:2])
        return made, torch.stack(theta, 1)

    def _looks(self, drawn: Tensor, views: range) -> Looks:
        """The looks of views by uniform numbers (n, v, DRAWN)."""
        blur, solarise = _share_of(self.blur, views), _share_of(self.solarise, views)
        return drawn_looks(
            drawn, self.jitter, self.jitter_share, self.grey, blur, self.sigma, solarise
        )


def _share_of(shares: Sequence[float], views: range) -> Tensor:
    """That of each view (v,); the last is of all that follow."""
    return torch.tensor([shares[min(view, len(shares) - 1)] for view in views])


def _parts(n: int, v: int, pixels: int, whole: bool) -> Iterator[tuple[slice, slice]]:
    """Images and views that are worked on together: all, or as many as fit a CPU's cache."""
    fit = max(1, n * v if whole else torch.get_num_threads() * CROPPED // pixels)
    views = min(v, fit)
    for row in range(0, n, fit // views):
        for view in range(0, v, views):
            yield slice(row, row + fit // views), slice(view, view + views)
