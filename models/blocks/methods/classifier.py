"""What objectives, the methods of training, are made of: views, a backbone and a head."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.mixing import mix
from models.blocks.augment.views import Views
from models.blocks.ranges import Least, Part, Positive, Rising, Share

__all__ = ["Classifier"]

Operations = Annotated[int, Field(ge=0, le=100)]
Magnitude = Annotated[int, Field(ge=0, le=30)]


class Classifier(nn.Module):
    """An objective but for `forward` and `shares`; a batch is {"inputs", "targets"}.

    Inputs are (n, 3, h, w).

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
        super().__init__()
        self.backbone, self.head = backbone, head
        self.augment = Views(scale, ratio, flip, randaugment, lighting)
        self.mixup, self.cutmix, self.label_smoothing = mixup, cutmix, label_smoothing

    @staticmethod
    def head_sizes(channels: Sequence[int], classes: int, **options: Any) -> dict[str, Any]:
        """Channels and classes of the head, of the backbone's channels and the data's classes."""
        return {"channels": channels, "classes": classes}

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The batch with random training views of its inputs, maybe mixed.

        uint8 (n, h, w, 3) -> float (n, 3, h, w).
        """
        inputs, targets = self.augment(batch["inputs"], draws), batch["targets"]
        if self.mixup or self.cutmix:
            inputs, targets = mix(inputs, self.shares(targets), draws, self.mixup, self.cutmix)
        return batch | {"inputs": inputs, "targets": targets}

    def test_views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The batch that accuracy is measured on: `predict` of its inputs against its targets."""
        return batch | {"inputs": self.plain(batch["inputs"])}

    def plain(self, images: Tensor) -> Tensor:
        """The same images, normalised only, for testing."""
        return self.augment.plain(images)

    def predict(self, inputs: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.head(self.backbone(inputs))

    def features(self, inputs: Tensor) -> Tensor:
        """Pooled features (n, channels[-1]): what a linear probe is fitted on."""
        return self.head.pool(self.backbone(inputs))

    def after_step(self) -> None:
        """Nothing to update between steps."""

    def export(self) -> dict[str, Tensor]:
        """Weights, under `backbone.` and `head.`."""
        return self.state_dict()
