"""What every objective that classifies single images is made of: views, a backbone and a head."""

import torch
from torch import Tensor, nn

from models.blocks.views import Views

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """An objective but for `forward`; its batch is {"inputs": (n, 3, h, w), "targets": ...}."""

    def __init__(
        self, backbone: nn.Module, head: nn.Module, scale: tuple[float, float], ratio: tuple[float, float], flip: float
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.augment = backbone, head, Views(scale, ratio, flip)

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Random training views of uint8 images (n, h, w, 3): float (n, 3, h, w)."""
        return self.augment(images, generator)

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
