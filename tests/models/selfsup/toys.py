"""Networks that are small enough, the numbers of golden values, random images."""

from typing import Any

import torch
from torch import Tensor, nn

from engine.core.build import build
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws
from models.blocks.methods.multiview import MultiView
from tests.support.methods import section
from tests.support.videos import CLIPS


def waves(shape: tuple[int, ...], shift: float, factor: float = 1.0) -> Tensor:
    """The numbers of the golden values: factor * sin(0.37 k + shift), k the place in the tensor."""
    places = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return factor * torch.sin(0.37 * places + shift).view(shape)


class Same(nn.Module):
    """A backbone, and a head, that gives what it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = [width]

    def forward(self, x: Tensor) -> Tensor:
        return x

    pool = forward


class Vectors(nn.Module):
    """A linear layer in the place of a backbone: vectors (n, inputs) -> a map of one pixel."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.channels = [len(weight)]
        self.linear = nn.Linear(*weight.T.shape)
        self.linear.weight.data, self.linear.bias.data = weight.clone(), bias.clone()

    def layers(self) -> list[nn.Module]:
        return [self.linear]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        return [self.linear(inputs)[:, :, None, None]]


class Normless(nn.Module):
    """A backbone without batch norm, whose statistics depend on what else a worker holds."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.strides = [10], [4]
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.GELU())
        self.block = nn.Sequential(nn.Conv2d(8, 10, 3, 2, 1), nn.GELU())

    def layers(self) -> list[nn.Module]:
        return [self.stem, self.block]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        return [self.block(self.stem(inputs))]


class Normed(Normless):
    """The same with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem[1] = nn.BatchNorm2d(8)


def method(name: str, backbone: nn.Module, **options: Any) -> MultiView:
    """An objective around a backbone."""
    head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=3)
    return build("objectives", {"name": name, **options}, backbone=backbone, head=head)


def small(name: str, backbone: nn.Module, **options: Any) -> MultiView:
    """An objective by its name, small."""
    return method(backbone=backbone, **section(name) | options)


# four clips of each video, as arXiv 2104.14558 has them, and what it changes of a method
RHO_VIEWS = CLIPS | {"clips": 4, "within": 3, "jitter": [0.4, 0.4, 0.4, 0.1], "grey": 0.2}
RHO: dict[str, dict[str, Any]] = {
    "moco": {"anneal": True},
    "byol": {"sequential": True, "temperature": 0.5},
    "simclr": {},
    "swav": {"freeze_prototypes": 0},
}


def of_clips(name: str, backbone: nn.Module, **changed: Any) -> MultiView:
    """Such a method, small; changed: settings of its views."""
    return small(name, backbone, views=RHO_VIEWS | changed, **RHO[name])


class Photos:
    """Random images of 16 pixels with random hashtags, as a data set."""

    def __init__(self, n: int = 20) -> None:
        generator = torch.Generator().manual_seed(3)
        self.pixels = torch.randint(0, 256, (n, 16, 16, 3), dtype=torch.uint8, generator=generator)
        self.tags = torch.randint(0, 2, (n, 3), generator=generator).float()

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor, draws: Draws) -> dict[str, Tensor]:
        return {"image": self.pixels[indices], "hashtags": self.tags[indices]}


def after_epochs(name: str, weight: str, optimizer: str) -> list[Tensor]:
    """A weight after no epoch, one and two, of two steps each."""
    section = {"name": optimizer} | ({} if optimizer == "adamw" else {"momentum": 0.9})
    recipe = Recipe(batch=8, per=8, rate=0.01, warmup=0, weight_decay=0.1, optimizer=section)
    found = []
    for epochs in (0, 1, 2):
        initialise(0)
        made = small(name, Normed())
        if epochs:
            train(made, Photos(), Training(recipe, epochs))
        found.append(made.get_parameter(weight).detach())
    return found
