"""Several random crops of each image, recoloured: the views of methods without labels.

Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
Representations", arXiv 2002.05709, section 3 and appendix A. Small crops beside them: Caron et al.
2020, "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", arXiv
2006.09882, section 3.3. Unlike strengths of the two views: Grill et al. 2020, arXiv 2006.07733,
appendix B.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD, Views
from models.blocks.ranges import Count, Least, Part, Pixels, Positive, Rising, Share, Whole

__all__ = ["BARLOW", "BYOL", "DINO", "MOCO_V2", "SIMCLR", "SWAV", "Crops"]

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
    """image uint8 (n, h, w, 3) -> image (n, views, 3, size, size), small (n, small, 3, s, s)."""

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
        self.count, self.size = views, size
        self.small, self.small_size = small, small_size
        self.whole = Views(scale, ratio, flip, mean=mean, std=std)
        self.parts = Views(small_scale, ratio, flip, mean=mean, std=std)

    def plain(self, images: Tensor) -> Tensor:
        """The test view: normalised, nothing else."""
        return self.whole.plain(images)

    def forward(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The views of a batch of a data set."""
        images = batch["image"]
        made = {"image": torch.stack([self.whole(images, draws) for _ in range(self.count)], 1)}
        if self.small:
            made["small"] = torch.stack([self.parts(images, draws) for _ in range(self.small)], 1)
        return made
