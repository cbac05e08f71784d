"""The methods without labels as the examples of lightly's documentation build them.

Each is a loss of a list of views; `follow` is what those do before a step. Heads have the sizes of
`benchmarks.methods.METHODS`. Views are those of lightly, with the papers' probabilities and with
small crops of the side that tagdag takes.
"""

from copy import deepcopy
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightly import loss as losses
from lightly import transforms
from lightly.models.modules import heads
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

SMALL = 3 / 7  # of the side of a view: that of a small one


class Peer(nn.Module):
    """A method around a trunk, images (n, 3, h, w) -> features (n, width)."""

    first_momentum: ClassVar[float] = 0.996

    def __init__(self, trunk: nn.Module, width: int, options: dict[str, Any]) -> None:
        super().__init__()
        self.trunk, self.options = trunk, options
        self.projection = self.head(width)

    def head(self, width: int) -> nn.Module:
        """What is between the features and the loss."""
        raise NotImplementedError

    def mirror(self, *names: str) -> None:
        """Copies of these parts, with `_momentum` behind the name, that follow them."""
        self.followed = names
        for name in names:
            copy = deepcopy(getattr(self, name))
            deactivate_requires_grad(copy)
            setattr(self, f"{name}_momentum", copy)

    def follow(self, step: int, total: int) -> None:
        """The copies' weights before a step."""
        momentum = cosine_schedule(step, total, self.first_momentum, 1)
        for name in getattr(self, "followed", ()):
            update_momentum(getattr(self, name), getattr(self, f"{name}_momentum"), m=momentum)

    @torch.no_grad()
    def target(self, view: Tensor) -> Tensor:
        """What the copies make of a view."""
        return self.projection_momentum(self.trunk_momentum(view))

    def forward(self, view: Tensor) -> Tensor:
        return self.projection(self.trunk(view))

    def before_update(self, epoch: int) -> None:
        """What is done to gradients."""

    def loss(self, views: list[Tensor]) -> Tensor:
        """The loss of a step."""
        raise NotImplementedError


class SimCLR(Peer):
    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.criterion = losses.NTXentLoss(temperature=0.1)

    @staticmethod
    def transform(size: int) -> Any:
        return transforms.SimCLRTransform(input_size=size)

    def head(self, width: int) -> nn.Module:
        return heads.SimCLRProjectionHead(width, self.options["hidden"], self.options["width"])

    def loss(self, views: list[Tensor]) -> Tensor:
        return self.criterion(*(self(view) for view in views))


class MoCo(Peer):
    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.mirror("trunk", "projection")
        size = (self.options["queue"], self.options["width"])
        self.criterion = losses.NTXentLoss(temperature=0.2, memory_bank_size=size)

    @staticmethod
    def transform(size: int) -> Any:
        return transforms.MoCoV2Transform(input_size=size)

    def head(self, width: int) -> nn.Module:
        return heads.MoCoProjectionHead(width, self.options["hidden"], self.options["width"])

    def loss(self, views: list[Tensor]) -> Tensor:
        query, (key, order) = views[0], batch_shuffle(views[1])
        return self.criterion(self(query), batch_unshuffle(self.target(key), order))


class BarlowTwins(Peer):
    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.criterion = losses.BarlowTwinsLoss(lambda_param=0.0051)

    @staticmethod
    def transform(size: int) -> Any:
        return BYOL.transform(size)

    def head(self, width: int) -> nn.Module:
        return heads.BarlowTwinsProjectionHead(width, self.options["hidden"], self.options["width"])

    def loss(self, views: list[Tensor]) -> Tensor:
        return self.criterion(*(self(view) for view in views))


class BYOL(Peer):
    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.mirror("trunk", "projection")
        hidden, width = self.options["hidden"], self.options["width"]
        self.prediction = heads.BYOLPredictionHead(width, hidden, width)
        self.criterion = losses.NegativeCosineSimilarity()

    @staticmethod
    def transform(size: int) -> Any:
        return transforms.BYOLTransform(
            transforms.BYOLView1Transform(input_size=size),
            transforms.BYOLView2Transform(input_size=size),
        )

    def head(self, width: int) -> nn.Module:
        return heads.BYOLProjectionHead(width, self.options["hidden"], self.options["width"])

    def loss(self, views: list[Tensor]) -> Tensor:
        first, second = (self.prediction(self(view)) for view in views)
        targets = [self.target(view) for view in views]
        return (self.criterion(first, targets[1]) + self.criterion(second, targets[0])) / 2


class DINO(Peer):
    def __init__(self, trunk: nn.Module, width: int, options: dict[str, Any]) -> None:
        super().__init__(trunk, width, options)
        self.mirror("trunk")
        # a head of its own, as in the example: one with weight norm cannot be copied
        self.projection_momentum = self.head(width).requires_grad_(False)
        self.followed = ("trunk", "projection")
        self.criterion = losses.DINOLoss(self.options["prototypes"], warmup_teacher_temp_epochs=1)

    @staticmethod
    def transform(size: int) -> Any:
        small = round(size * SMALL)
        return transforms.DINOTransform(size, local_crop_size=small, n_local_views=8)

    def head(self, width: int) -> nn.Module:
        sizes = [self.options[name] for name in ("hidden", "bottleneck", "prototypes")]
        return heads.DINOProjectionHead(width, *sizes, freeze_last_layer=1)

    def before_update(self, epoch: int) -> None:
        self.projection.cancel_last_layer_gradients(epoch)

    def loss(self, views: list[Tensor]) -> Tensor:
        targets = [self.target(view) for view in views[:2]]
        return self.criterion(targets, [self(view) for view in views], epoch=0)


class SwAV(Peer):
    """Without a queue, as lightly's first example of it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.prototypes = heads.SwaVPrototypes(self.options["width"], self.options["prototypes"])
        self.criterion = losses.SwaVLoss(temperature=0.1, sinkhorn_epsilon=0.05)

    @staticmethod
    def transform(size: int) -> Any:
        return transforms.SwaVTransform(crop_sizes=(size, round(size * SMALL)))

    def head(self, width: int) -> nn.Module:
        return heads.SwaVProjectionHead(width, self.options["hidden"], self.options["width"])

    def forward(self, view: Tensor) -> Tensor:
        return self.prototypes(F.normalize(super().forward(view), dim=1, p=2))

    def loss(self, views: list[Tensor]) -> Tensor:
        self.prototypes.normalize()
        found = [self(view) for view in views]
        return self.criterion(found[:2], found[2:])


PEERS = {
    "simclr": SimCLR,
    "moco": MoCo,
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "dino": DINO,
    "swav": SwAV,
}
