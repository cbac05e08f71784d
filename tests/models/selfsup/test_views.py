"""All that makes views: several of each sample, whoever holds it, for any method that compares."""

from typing import Any

import pytest
import torch

from engine.core.build import build, choices, plugin
from engine.core.network import network
from models.blocks.augment.draws import Draws
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD, Views
from tests.support.networks import TINY
from tests.support.videos import TINY_CLIPS, videos

NORMAL = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def images(n: int = 6) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 32, 32, 3), dtype=torch.uint8, generator=drawn)


def draws(**part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(1), **part)


# what makes two views where one is the default
TWO = {"clips": {"views": 2}}


def made_of(name: str) -> tuple[dict, dict[str, Any], dict]:
    """(section of views, what they are made of, backbone that reads them)."""
    section = {"name": name} | TWO.get(name, {})
    column = getattr(plugin("views", name, "tests"), "column", "image")
    if column == "image":
        return section, {"image": images()}, TINY | {"stem_stride": 1}
    return section, {"clip": [video[None, :8] for video in videos(6)]}, TINY_CLIPS


@pytest.mark.parametrize("name", choices("views"))
def test_contract(name):
    section, batch, _ = made_of(name)
    ((column, samples),) = batch.items()
    made = build("views", section, **NORMAL)
    views = made(batch, draws())
    image = views["image"]
    assert set(views) <= {"image", "small"} and image.dtype == torch.float32
    assert image.shape[0] == 6 and image.shape[1] >= 2 and image.shape[2] == 3
    assert not torch.equal(image[:, 0], image[:, 1])
    # rows of another worker are those of the whole step
    part = made({column: samples[2:5]}, draws(first=2, total=6))
    for key, each in part.items():
        torch.testing.assert_close(each, views[key][2:5])
    plain = made.plain(samples)
    assert plain.shape == (6, *image.shape[2:])
    if column == "image":
        assert torch.equal(plain, Views((1, 1), (1, 1), 0, **NORMAL).plain(samples))
    else:
        assert plain.shape[1:] == made.shape(16)
        assert {*made.reads()} == {*made.test_reads()} == {column}


@pytest.mark.parametrize("name", choices("views"))
def test_a_method_learns_from_them(name):
    views, batch, backbone = made_of(name)
    section = {"name": "simclr", "views": views, "width": 8}
    torch.manual_seed(0)
    method = network(backbone, section, {"name": "linear"}, classes=4)
    assert method.column in batch
    method(method.views(batch, draws()))["loss"].backward()
    weights = [each for each in method.parameters() if each.requires_grad]
    assert all(weight.grad is not None for weight in weights)
