"""mixup and CutMix: the formulas of torchvision, the pairs, the odds."""

import pytest
import torch
import torch.nn.functional as F

from models.blocks.augment.draws import Draws
from models.blocks.augment.mixing import box, cutmix, mix, mixup

IMAGES = torch.rand(6, 3, 12, 20, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 2, 0, 3])
ONE_HOT = F.one_hot(CLASSES, 4).float()
PARTNERS = torch.tensor([1, 0, 3, 2, 5, 4])


def draws(seed: int = 0, **part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), **part)


def torchvision(name: str, **params) -> tuple[torch.Tensor, torch.Tensor]:
    """torchvision's own mixing pair by pair, with its draws fixed."""
    transform = getattr(pytest.importorskip("torchvision.transforms.v2"), name)(num_classes=4)
    transform.make_params = lambda inputs: params
    pairs = [transform(IMAGES[i : i + 2], CLASSES[i : i + 2]) for i in (0, 2, 4)]
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixup_is_torchvisions(share):
    images, targets = torchvision("MixUp", lam=share)
    torch.testing.assert_close(mixup(IMAGES, PARTNERS, share), images)
    torch.testing.assert_close(mixup(ONE_HOT, PARTNERS, share), targets)


@pytest.mark.parametrize("edges", [(3, 2, 11, 9), (0, 0, 20, 12), (4, 4, 4, 8)])
def test_cutmix_is_torchvisions(edges):
    left, top, right, bottom = edges
    images, targets = torchvision(
        "CutMix", box=edges, lam_adjusted=1 - (right - left) * (bottom - top) / 240
    )
    mixed, share = cutmix(IMAGES, PARTNERS, edges)
    assert torch.equal(mixed, images)
    torch.testing.assert_close(mixup(ONE_HOT, PARTNERS, share), targets)


def test_boxes_have_the_area_asked_for_and_lie_inside():
    assert box(100, 200, 0.75, 0.5, 0.5) == (50, 25, 150, 75)
    assert box(100, 200, 0.75, 0.0, 0.99) == (0, 74, 50, 100)  # cut at the border
    assert box(100, 200, 1.0, 0.3, 0.3)[::2] == (60, 60)  # empty


@pytest.mark.parametrize("alphas", [(0.2, 0), (0, 1)])
def test_targets_say_what_is_in_the_pictures(alphas):
    colours = (
        torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    )  # one value per image and class
    for seed in range(5):
        mixed, targets = mix(colours, torch.eye(4), draws(seed), *alphas)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ torch.arange(4.0))
        torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_both_at_even_odds():
    pasted = 0
    for seed in range(400):
        mixed, _ = mix(
            torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 8, 8), torch.eye(2), draws(seed), 1, 1
        )
        pasted += bool(((mixed == 0) | (mixed == 1)).all())
    assert pasted / 400 == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("first", "n", "expected"),
    [(0, 4, [1, 0, 3, 2]), (2, 3, [1, 0, 2]), (3, 3, [0, 2, 1]), (0, 1, [0]), (5, 0, [])],
)
def test_neighbours_are_partners_unless_cut_apart(first, n, expected):
    assert draws(first=first, total=8).partners(n).tolist() == expected
