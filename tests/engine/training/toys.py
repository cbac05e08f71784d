"""Small images, networks and listeners for the tests of training."""

import copy
from typing import Any, ClassVar

import torch
from torch import nn

from engine.core.batch import Batch
from engine.core.build import build
from engine.core.network import network
from engine.training.loop import initialise
from engine.training.predicting import predicted, scored
from engine.training.recipe import Recipe
from metrics.accuracy import Accuracy
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Method, Phases

RECIPE = Recipe(
    batch=16, rate=0.4, warmup=1
)  # 56 samples: 3 batches an epoch, and 8 images left out
BACKBONE = {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8}
SECTIONS = {
    "backbone": BACKBONE | {"stem_width": 8, "stem_stride": 1},
    "objective": {"name": "supervised"},
    "head": {"name": "linear"},
}


class Toy:
    """Images of 16 pixels whose brightest channel is their class.

    Remembers in `seen` which of them were read, batch by batch.
    """

    def __init__(self, n: int = 56) -> None:
        generator = torch.Generator().manual_seed(7)
        self.classes = torch.arange(n) % 3
        noise = torch.randint(0, 156, (n, 16, 16, 3), generator=generator)
        self.pixels = (
            noise + 100 * torch.eye(3, dtype=torch.long)[self.classes][:, None, None]
        ).to(torch.uint8)
        self.seen: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: torch.Tensor, draws: Draws) -> Batch:
        self.seen.append(indices.tolist())
        return {"image": self.pixels[indices], "label": self.classes[indices]}


def tiny(seed: int = 0) -> torch.nn.Module:
    initialise(seed)
    return network(**SECTIONS, classes=3)


def answers(module: nn.Module, samples: Any, rows: slice = slice(None)) -> tuple[torch.Tensor, ...]:
    """What a network says of samples, and what is true: scores (n, classes), labels (n,)."""
    found = list(predicted(module, samples, rows=rows))
    scores = torch.cat([predictions["scores"] for _, predictions, _ in found])
    return scores, torch.cat([targets["label"] for *_, targets in found])


def accuracy(module: nn.Module, samples: Any) -> dict[str, float]:
    """How well a network predicts the labels of samples."""
    return scored(module, samples, Accuracy()).compute()


class Plain(nn.Module):
    """A backbone without batch norm, whose statistics depend on what else a worker holds."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = [16]
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.GroupNorm(2, 8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 16, 3, 2), nn.ReLU())

    def layers(self) -> list[nn.Module]:
        return [self.stem, self.block]

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        return [self.block(self.stem(inputs))]


def plain(seed: int = 0) -> nn.Module:
    initialise(seed)
    head = build("heads", {"name": "linear"}, channels=[16], classes=3)
    return build("objectives", {"name": "supervised"}, backbone=Plain(), head=head)


class Twofold(Method):
    """The head learns the labels by the recipe's optimizer, after the backbone did by its own.

    The backbone's loss has a part, the size of the logits, that the head does not see.
    """

    reads: ClassVar[dict[str, dict[str, Any]]] = {"image": {}, "label": {}}
    target: ClassVar[str] = "label"
    OWN: ClassVar[dict[str, Any]] = {
        "optimizer": {"name": "adamw"},
        "rate": 0.02,
        "schedule": "constant",
        "clip": 0.5,
    }

    def views(self, batch: Batch, draws: Draws) -> Batch:
        images = self.plain(batch["image"])
        return batch | {"image": images + 0.1 * draws.randn(*images.shape)}

    def plain(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2) / 64 - 2

    def forward(self, batch: Batch, phase: str = "") -> dict[str, torch.Tensor]:
        maps = self.backbone(batch["image"])
        if phase == "top":
            # so that the backbone's parameters have no gradient of it at all
            maps = [each.detach() for each in maps]
        logits = self.head(maps)
        loss = nn.functional.cross_entropy(logits, batch["label"])
        if phase == "top":
            return {"loss": loss}
        size = logits.square().mean()
        return {"loss": loss + 0.1 * size, "size": size}

    def phases(self) -> Phases:
        return {
            "trunk": (self.backbone.parameters(), self.OWN),
            "top": (self.head.parameters(), {}),
        }


def twofold(seed: int = 0) -> nn.Module:
    """Two phases, on a backbone without batch norm."""
    module = plain(seed)
    return Twofold(module.backbone, module.head)


class Taught(Twofold):
    """One optimizer, and a teacher: a moving average of the backbone, ever slower."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__(backbone, head)
        self.teacher = copy.deepcopy(backbone).requires_grad_(False)

    def forward(self, batch: Batch, phase: str = "") -> dict[str, torch.Tensor]:
        found = super().forward(batch)
        views = self.head.pool(self.backbone(batch["image"]))
        apart = views - self.head.pool(self.teacher(batch["image"]))
        distance = apart.square().mean()
        return {"loss": found["loss"] + distance, "distance": distance}

    def phases(self) -> Phases:
        return Method.phases(self)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        kept = 0.5 + 0.5 * progress
        for ours, theirs in zip(self.teacher.parameters(), self.backbone.parameters(), strict=True):
            ours.lerp_(theirs, 1 - kept)


def taught(seed: int = 0) -> nn.Module:
    module = plain(seed)
    return Taught(module.backbone, module.head)


class Recorder:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.values: dict[int, dict[str, float]] = {}

    def __call__(self, values: dict[str, float], iteration: int) -> None:
        self.values[iteration] = values

    def series(self, name: str) -> list[float]:
        return [values[name] for values in self.values.values()]
