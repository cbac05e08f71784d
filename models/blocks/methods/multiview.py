"""What objectives without targets are made of that compare several random views of each sample.

A view may be a crop of an image or a clip of a video: what makes them is a plug-in of models/views.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.views import normalisation
from models.blocks.methods.method import Method

__all__ = ["MultiView", "each_view", "wide"]

GROUP = 64  # samples that are told apart by their views when such a network is measured


class MultiView(Method):
    """An objective but for its loss: image (n, v, 3, ...) are the views, small those of parts.

    It is measured by its own task: which of GROUP samples is another view of this one? The
    similarity of pooled features answers, so that all methods are measured alike.

    augment: makes the views, handed the mean and deviation of the backbone's input.
    """

    target: ClassVar[str] = "label"
    inputs: ClassVar[tuple[str, ...]] = ("image", "small", "order")
    classifies: ClassVar[bool] = False
    # samples are contrasted with each other, or normalised by all of them
    exact_in_parts: ClassVar[bool] = False
    shardable: ClassVar[bool] = False

    def __init__(
        self, backbone: nn.Module, head: nn.Module, augment: Callable[..., nn.Module]
    ) -> None:
        super().__init__(backbone, head)
        # it classifies, which nothing here teaches; workers wait for gradients of what is trained
        head.requires_grad_(False)
        self.seen_by(augment)
        self.augment = augment(**normalisation(backbone))

    @property
    def width(self) -> int:
        """Numbers of a pooled feature."""
        return self.backbone.channels[-1]

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Random views of each sample (n, v, 3, ...), and `small` ones where there are such."""
        made = self.augment(batch, draws)
        if made["image"].shape[1] < 2:
            raise ValueError(
                f"{type(self).__name__}: one view of each sample leaves nothing to compare: let "
                "the section of its views make 2 or more"
            )
        return made

    def plain(self, images: Tensor) -> Tensor:
        """The same images, normalised only."""
        return self.augment.plain(images)

    def embedded(self, images: Tensor) -> Tensor:
        """Projections (n, width) of normalised images, by the `projector` of the objective."""
        return self.projector(self.features(images))

    def pooled(self, views: Tensor, backbone: nn.Module | None = None) -> Tensor:
        """Features (n, v, d) of views (n, v, 3, ...), in one pass: batch norm sees all of them.

        backbone: another than the one that is trained, as a teacher's.
        """
        flat = views.flatten(0, 1)
        if flat.ndim == 4:
            flat = flat.contiguous(memory_format=torch.channels_last)
        found = self.head.pool((backbone or self.backbone)(flat))
        return found.unflatten(0, views.shape[:2])

    def pooled_all(self, batch: dict[str, Tensor]) -> Tensor:
        """Features (n, v + w, d) of the views, then of the small ones: one pass for each size."""
        views, small = batch["image"], batch.get("small")
        if small is None:
            return self.pooled(views)
        if small.shape[2:] == views.shape[2:]:
            return self.pooled(torch.cat([views, small], 1))
        return torch.cat([self.pooled(views), self.pooled(small)], 1)

    def test_views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Two views of each sample, and its place among those that it is told from."""
        views = self.augment(batch, draws)["image"][:, :2]
        places = torch.arange(len(views), device=views.device)
        return {"image": views, "label": places % GROUP}

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """scores (n, GROUP): how like each first view the second ones of its group are."""
        found = F.normalize(self.pooled(batch["image"]).float(), dim=2)
        scores = [
            F.pad(part[:, 0] @ part[:, 1].T, (0, GROUP - len(part)), value=float("-inf"))
            for part in found.split(GROUP)
        ]
        return {"scores": torch.cat(scores)}


def each_view(pooled: Tensor, *layers: nn.Module) -> Tensor:
    """What perceptrons make of features (n, v, d), one after the other, of all views at once."""
    flat = pooled.flatten(0, 1)
    for layer in layers:
        flat = layer(flat)
    return flat.unflatten(0, pooled.shape[:2])


def wide(x: Tensor) -> Tensor:
    """In float32 at the least: what a loss compares, whatever networks compute in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
