"""Several views of each video: clips spread over it, crops along its longer side, averaged.

Feichtenhofer, Fan, Malik, He 2019, "SlowFast Networks for Video Recognition", arXiv 1812.03982,
section 4: 10 clips of 3 crops of 256 pixels, their softmax averaged. Wang, Girshick, Gupta, He
2018, "Non-local Neural Networks", arXiv 1711.07971, section 4.1.
"""

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.ranges import Count, Pixels

__all__ = ["Views"]

# where several clips lie of a network that is tested on one in this place
SPREAD = {"centre": "even", "middles": "segments"}


class Views:
    """(objective, batch, draws) -> {"probabilities", "scores"}, their mean and its logarithm.

    The network sees one view of all samples at a time. Clips of segments are drawn, the same ones
    in every test.

    clips: of each video, spread evenly from its start to its end.
    crops: squares of each clip, spread evenly along its longer side from end to end; 1: the middle.
    side: pixels of a crop, which is of the whole short side; null: those of training.
    """

    def __init__(self, clips: Count = 10, crops: Count = 3, side: Pixels | None = None) -> None:
        self.clips, self.crops, self.side = clips, crops, side
        self.places = [place / (crops - 1) for place in range(crops)] if crops > 1 else [0.5]

    @property
    def count(self) -> int:
        """How often a network is asked of each sample."""
        return self.clips * self.crops

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of one view, of a network that has seen views of a shape in training."""
        return (*shape[:-2], self.side, self.side) if self.side else shape

    def columns(self, columns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """What is read of a data set, in the place of what one view is made of."""
        if "clip" not in columns or self.clips == 1:
            return columns
        own = columns["clip"]
        place = SPREAD.get(own.get("place", "centre"), "even")
        return columns | {"clip": own | {"clips": self.clips, "place": place}}

    def __call__(
        self, objective: nn.Module, batch: dict[str, Any], draws: Draws
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        name = type(objective).__name__.lower()
        cropped = getattr(getattr(objective, "augment", None), "cropped", None)
        if cropped is None or not objective.classifies:
            raise ValueError(
                f"policy views: it averages classes of clips; {name} has images, or no classes: "
                "take the policy plain, or an objective with classes and `views: {name: clips}`"
            )
        videos = batch[objective.column]
        views = list(product(range(len(videos[0])), self.places))
        mean = sum(
            objective.head.decode(objective.logits(cropped(videos, *view, self.side))).float()
            for view in views
        ) / len(views)
        # no logarithm of nothing, where all views are sure
        logs = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        return {"scores": logs, "probabilities": mean}, objective.targets(batch)
