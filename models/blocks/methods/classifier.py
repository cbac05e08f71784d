"""What objectives, the methods of training, are made of: views, a backbone and a head."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.mixing import mix
from models.blocks.augment.views import Views
from models.blocks.methods.method import Method
from models.blocks.ranges import Least, Part, Positive, Rising, Share

__all__ = ["Classifier"]

Operations = Annotated[int, Field(ge=0, le=100)]
Magnitude = Annotated[int, Field(ge=0, le=30)]


class Classifier(Method):
    """An objective but for `reads`, `target`, `forward` and `shares`: one column of targets.

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
        self.augment = Views(scale, ratio, flip, randaugment, lighting)
        self.mixup, self.cutmix, self.label_smoothing = mixup, cutmix, label_smoothing

    def shares(self, targets: Tensor) -> Tensor:
        """Targets as probabilities (n, classes), which images that are mixed share."""
        raise NotImplementedError

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The batch with random training views of its images, maybe mixed.

        uint8 (n, h, w, 3) -> float (n, 3, h, w).
        """
        images, targets = self.augment(batch["image"], draws), batch[self.target]
        if self.mixup or self.cutmix:
            images, targets = mix(images, self.shares(targets), draws, self.mixup, self.cutmix)
        return batch | {"image": images, self.target: targets}

    def plain(self, images: Tensor) -> Tensor:
        """The same images, normalised only, for testing."""
        return self.augment.plain(images)
