"""Rotation prediction: by how many quarter turns was the image rotated?

Gidaris, Singh, Komodakis 2018, "Unsupervised Representation Learning by Predicting Image
Rotations", arXiv 1803.07728, section 3. As a proxy for labels: Liu et al. 2020, "Are Labels
Necessary for Neural Architecture Search?", arXiv
2003.12056, whose code trains, as here by default, on all four rotations of an image at once.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws, moved
from models.blocks.methods.pretext import Pretext
from models.blocks.ranges import Part, Positive, Rising, Share

__all__ = ["Rotation"]


class Rotation(Pretext):
    """image (n, rotations, 3, h, w) of square images, label (n, rotations): quarter turns.

    They are counter-clockwise.

    A batch of n images is one of n * rotations to the backbone: with all four, the code of Liu et
    al. takes a quarter of the images at the same rate.

    rotations: how many of the four each image is shown in.
    scale, ratio, flip: see Views.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        rotations: Annotated[int, Field(ge=1, le=4)] = 4,
        scale: Rising[Part] = (0.4, 1.0),
        ratio: Rising[Positive] = (3 / 4, 4 / 3),
        flip: Share = 0.5,
    ) -> None:
        super().__init__(backbone, head, scale, ratio, flip)
        self.rotations = rotations

    @staticmethod
    def facts(facts: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Four classes, whatever the data's."""
        return facts | {"classes": 4}

    def puzzles(self, images: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Turns follow from an image's place in the step, itself random: all are as frequent."""
        n = len(images)
        turns = (draws.first + torch.arange(n)[:, None] + torch.arange(self.rotations)) % 4
        turns = moved(turns, images.device)
        every = torch.stack([images.rot90(k, (2, 3)) for k in range(4)], 1)
        return {
            "image": every[torch.arange(n, device=images.device)[:, None], turns],
            "label": turns,
        }

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (n * rotations, 4); of images (n, 3, h, w) themselves (n, 4)."""
        return super().logits(inputs.flatten(0, -4).contiguous(memory_format=torch.channels_last))
