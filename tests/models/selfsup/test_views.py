"""All that makes views: several of each sample, whoever holds it, for any method that compares."""

import pytest
import torch

from engine.core.build import build, choices
from engine.core.network import network
from models.blocks.augment.draws import Draws
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD, Views
from tests.support.networks import TINY

NORMAL = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def images(n: int = 6) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 32, 32, 3), dtype=torch.uint8, generator=drawn)


def draws(**part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(1), **part)


@pytest.mark.parametrize("name", choices("views"))
def test_contract(name):
    made = build("views", {"name": name}, **NORMAL)
    views = made({"image": images()}, draws())
    image = views["image"]
    assert set(views) <= {"image", "small"} and image.dtype == torch.float32
    assert image.shape[0] == 6 and image.shape[1] >= 2 and image.shape[2] == 3
    assert not torch.equal(image[:, 0], image[:, 1])
    # rows of another worker are those of the whole step
    part = made({"image": images()[2:5]}, draws(first=2, total=6))
    for key, column in part.items():
        torch.testing.assert_close(column, views[key][2:5])
    plain = Views((1, 1), (1, 1), 0, **NORMAL).plain(images())
    assert torch.equal(made.plain(images()), plain)


@pytest.mark.parametrize("name", choices("views"))
def test_a_method_learns_from_them(name):
    section = {"name": "simclr", "views": {"name": name}, "width": 8}
    torch.manual_seed(0)
    method = network(TINY | {"stem_stride": 1}, section, {"name": "linear"}, classes=4)
    method(method.views({"image": images()}, draws()))["loss"].backward()
    weights = [each for each in method.parameters() if each.requires_grad]
    assert all(weight.grad is not None for weight in weights)
