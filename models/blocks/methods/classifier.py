"""What objectives, the methods of training, are made of: views, a backbone and a head."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.mixing import mix
from models.blocks.augment.views import Views, normalisation
from models.blocks.methods.method import Method
from models.blocks.ranges import Least, Part, Positive, Rising, Share

__all__ = ["Classifier"]

Operations = Annotated[int, Field(ge=0, le=100)]
Magnitude = Annotated[int, Field(ge=0, le=30)]


class Classifier(Method):
    """An objective but for `reads`, `target`, `forward` and `shares`: one column of targets.

    A sample whose target is not known, as the column `<target>_known` tells (n,), counts in the
    batch and teaches nothing. A view has 0 for its targets, and in that column the share of its
    targets that is known, float (n,): of two that are mixed one may be.

    scale, ratio, flip, randaugment, lighting: see Views.
    mixup, cutmix: alpha of each method of mixing images in pairs; 0 turns it off.
    label_smoothing: share of the target that is spread evenly over the classes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        scale: Rising[Part] = (0.4, 1.0),
        ratio: Rising[Positive] = (3 / 4, 4 / 3),
        flip: Share = 0.5,
        randaugment: tuple[Operations, Magnitude] = (0, 0),
        lighting: Least = 0.0,
        mixup: Least = 0.0,
        cutmix: Least = 0.0,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(backbone, head)
        self.augment = Views(scale, ratio, flip, randaugment, lighting, **normalisation(backbone))
        self.mixup, self.cutmix, self.label_smoothing = mixup, cutmix, label_smoothing

    def shares(self, targets: Tensor) -> Tensor:
        """Targets as probabilities (n, classes), which images that are mixed share."""
        raise NotImplementedError

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The batch with random training views of its images, maybe mixed.

        uint8 (n, h, w, 3) -> float (n, 3, h, w).
        """
        images, targets = self.augment(batch["image"], draws), batch[self.target]
        known, mixing = batch.get(f"{self.target}_known"), self.mixup or self.cutmix
        if mixing or known is not None:
            targets = self.shares(targets)
        if known is not None:
            # the last column is mixed with the others: what of a target is known
            own = known[:, None].to(targets.dtype)
            targets = torch.cat([targets * own, own], 1)
        if mixing:
            images, targets = mix(images, targets, draws, self.mixup, self.cutmix)
        if known is not None:
            batch = batch | {f"{self.target}_known": targets[:, -1]}
            targets = targets[:, :-1]
        return batch | {"image": images, self.target: targets}

    def plain(self, images: Tensor) -> Tensor:
        """The same images, normalised only, for testing."""
        return self.augment.plain(images)
