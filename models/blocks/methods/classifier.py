"""What objectives, the methods of training, are made of: views, a backbone and a head."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.mixing import mix
from models.blocks.augment.views import Views, normalisation
from models.blocks.methods.method import Method
from models.blocks.ranges import Least, Part, Plug, Positive, Rising, Share

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
    views: what makes the views, as clips of videos; several of a sample all have its target
        (repeated augmentation: Hoffer et al. 2020, "Augment Your Batch", arXiv 1901.09335). null:
        one crop of each image, by the settings above.
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
        views: Plug[Callable, "views"] | None = None,
    ) -> None:
        super().__init__(backbone, head)
        own, normal = (scale, ratio, flip, randaugment, lighting), normalisation(backbone)
        if views:
            _check_own(own)
        self.seen_by(views)
        self.augment = views(**normal) if views else Views(*own, **normal)
        self.several = views is not None
        self.mixup, self.cutmix, self.label_smoothing = mixup, cutmix, label_smoothing

    def shares(self, targets: Tensor) -> Tensor:
        """Targets as probabilities (n, classes), which images that are mixed share."""
        raise NotImplementedError

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """The batch with random training views of its images, maybe mixed.

        uint8 (n, h, w, 3) -> float (n, 3, h, w), of `views` (n, v, 3, ...).
        """
        if self.several:
            images = self.augment(batch, draws)["image"]
        else:
            images = self.augment(batch["image"], draws)
        targets = batch[self.target]
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
        return self.with_inputs(batch, images) | {self.target: targets}

    def each(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """A row for each view of a sample, where it has several: (n, v, 3, ...) -> (n v, 3, ...).

        Targets are repeated.
        """
        if not self.several:
            return views
        count = views["image"].shape[1]
        made = {name: column.repeat_interleave(count, 0) for name, column in views.items()}
        return made | {"image": views["image"].flatten(0, 1)}

    def test_columns(self, columns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """One view of each sample, the same each time."""
        return {name: self.tested.get(name, options) for name, options in columns.items()}

    def plain(self, images: Tensor) -> Tensor:
        """The same images, normalised only, for testing."""
        return self.augment.plain(images)


def _check_own(given: tuple[Any, ...]) -> None:
    """ValueError where a setting of the method's own views is given beside `views`."""
    known = list(inspect.signature(Classifier).parameters.values())[2:]
    for parameter, value in zip(known, given, strict=False):
        if value != parameter.default:
            raise ValueError(
                f"{parameter.name}: `views` make the views, and have settings of their own: put it "
                "into that section, or remove either"
            )
