"""Mask^X: the released code's numbers, who is taught what, and masks of classes without any."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.blocks.detection.regions import RegionAlign
from models.blocks.detection.weighttransfer import TransferBranch, WeightTransfer, class_weights
from models.heads.mask_x import MaskX
from tests.models.detection.test_pointrend import FACTS, maps_of, objects

NAMES = ["ant", "bee", "cat"]
TINY = {"width": 8, "hidden": 16, "mask_convs": 1, "test_proposals": 20, "names": NAMES}


def x(shape: tuple[int, ...], start: int, scale: float = 1.0) -> Tensor:
    places = torch.arange(math.prod(shape), dtype=torch.float64)
    return scale * torch.sin(0.37 * places + start).reshape(shape)


def close(golden: list[float]):
    return pytest.approx(golden, rel=1e-8)


class Given(nn.Module):
    """What pools regions, but that these are pooled already."""

    def forward(self, maps: list[Tensor], _: list[Tensor]) -> Tensor:
        return maps[0]


class Boxes(nn.Module):
    """What a mask branch is told of a box branch: classes and background, last."""

    def __init__(self, hidden: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, classes + 1)
        self.bbox_pred = nn.Linear(hidden, 4 * classes)


def branch(classes: int = 3, taught: Tensor | None = None, **settings) -> TransferBranch:
    torch.manual_seed(0)
    told = torch.ones(classes, dtype=torch.bool) if taught is None else taught
    transfer = None if settings.pop("agnostic", False) else WeightTransfer(20, 8)
    made = TransferBranch(RegionAlign((4,), 7), 8, transfer, "cls_box", told, convs=1, **settings)
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.3)
    return made


REGIONS = [torch.tensor([[4.0, 6, 40, 30], [20, 10, 63, 60]]), torch.tensor([[0.0, 0, 19, 64]])]
LABELS = [torch.tensor([1, 0]), torch.tensor([2])]


def pyramid() -> list[Tensor]:
    return [torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))]


def masks() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(len(each), 64, 64, generator=generator) < 0.5 for each in REGIONS]


def test_weights_and_masks_are_those_of_the_released_code():
    """Its rows, of which the golden has three, are our classes; its background, the first of 81, is
    a row like the others there, and ours is the last and none of them: each row stands for itself.
    """
    boxes, transfer = Boxes().double(), WeightTransfer(20, 5).double()
    with torch.no_grad():
        boxes.cls_score.weight[:3] = x((3, 4), 0)
        boxes.bbox_pred.weight.copy_(x((3, 16), 1).reshape(12, 4))
        for layer, (shape, start) in {0: ((5, 20), 2), 2: ((5, 5), 4)}.items():
            transfer[layer].weight.copy_(x(shape, start, 0.3))
            transfer[layer].bias.copy_(x((5,), start + 1, 0.3))
        weights = transfer(class_weights(boxes, "cls_box"))
        one = TransferBranch(RegionAlign((4,), 2), 5, transfer, "cls_box", torch.ones(3).bool())
        one.align, one.trunk = Given(), nn.Identity()
        seen = x((2, 5, 4, 4), 6).repeat_interleave(3, 0)
        found = one.own_logits([seen], [], [torch.tensor([0, 1, 2] * 2)], boxes)
    numbers = [weights[0, 0], weights[-1, -1], weights.sum()]
    assert [*map(float, numbers)] == close([-1.1362046844, -0.1245232800, -3.7655331398])
    numbers = [found[0, 0, 0], found[-1, -1, -1], found.sum(), found.abs().sum()]
    assert [*map(float, numbers)] == close(
        [0.5633056951, -0.1910737636, -3.3848085369, 62.3549197399]
    )


def test_parameters_are_those_of_the_paper():
    def count(part: nn.Module) -> int:
        return sum(weight.numel() for weight in part.parameters())

    def made(**settings) -> TransferBranch:
        facts = {"channels": [256] * 4, "strides": [4, 8, 16, 32], "classes": 80}
        with torch.device("meta"):
            return MaskX(**facts, names=list(map(str, range(80))), **settings).mask

    both = made(mlp=True)
    assert count(both.transfer) == 1_376_768 and count(both.whole) == 157_352_720
    assert count(made(source="cls").transfer) == 328_192
    assert count(made(source="box", layers=1).transfer) == 4096 * 256 + 256
    assert made(agnostic=True).transfer is None and made().whole is None


@pytest.mark.parametrize("settings", [{}, {"mlp": True}, {"agnostic": True}], ids=str)
def test_only_masks_that_are_known_of_classes_that_are_taught_teach(settings):
    boxes, maps = Boxes(), pyramid()

    def losses(one: TransferBranch, known: list[list[bool]], regions=REGIONS, labels=LABELS):
        told = [torch.tensor(each, dtype=torch.bool) for each in known]
        return one.losses(maps, regions, labels, masks(), told, boxes)["mask"]

    one = branch(taught=torch.tensor([True, True, False]), **settings)
    alone = losses(one, [[True, False], [False]])
    assert torch.equal(alone, losses(one, [[True, False], [True]])), "class 2 is not taught"
    kept = [REGIONS[0][:1], REGIONS[1][:0]], [LABELS[0][:1], LABELS[1][:0]]
    few = [masks()[0][:1], masks()[1][:0]]
    known = [torch.ones(1, dtype=torch.bool), torch.zeros(0, dtype=torch.bool)]
    assert torch.equal(alone, one.losses(maps, *kept, few, known, boxes)["mask"])
    assert alone > 0
    nothing = losses(one, [[False, False], [True]])
    nothing.backward()
    assert nothing == 0
    for name, weight in one.named_parameters():
        assert weight.grad is not None and not weight.grad.any(), name


def test_the_box_weights_learn_of_masks_only_where_they_are_not_detached():
    known = [torch.ones(len(each), dtype=torch.bool) for each in REGIONS]
    for detached in (True, False):
        boxes, one = Boxes(), branch(detached=detached)
        one.losses(pyramid(), REGIONS, LABELS, masks(), known, boxes)["mask"].backward()
        grads = [part.weight.grad for part in (boxes.cls_score, boxes.bbox_pred)]
        if detached:
            assert grads == [None, None]
        else:
            assert all(grad.any() for grad in grads)
            assert not grads[0][-1].any(), "background has no masks"
        assert all(weight.grad.any() for weight in one.transfer.parameters())


def test_masks_go_with_the_weights_of_their_class():
    """Classes exchanged exchange their masks, those of a class that was never taught too."""
    one, boxes, other = branch(taught=torch.tensor([True, False, False])), Boxes(), Boxes()
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        other.cls_score.weight[:3] = boxes.cls_score.weight[order]
        other.bbox_pred.weight.copy_(boxes.bbox_pred.weight.view(3, 4, 4)[order].view(12, 4))
        first = one.masks(pyramid(), REGIONS, LABELS, boxes)
        place = order.argsort()
        second = one.masks(pyramid(), REGIONS, [place[each] for each in LABELS], other)
        later = [(each + 1) % 3 for each in LABELS]
        shifted = one.masks(pyramid(), REGIONS, later, boxes)
        whole = branch(agnostic=True)
        same = [whole.masks(pyramid(), REGIONS, each, boxes) for each in (LABELS, later)]
    for a, b, c in zip(first, second, shifted, strict=True):
        assert torch.allclose(a, b, atol=1e-6) and not torch.allclose(a, c, atol=1e-3)
        assert a.shape[1:] == (14, 14) and a.min() > 0 and a.max() < 1
    assert all(map(torch.equal, *same)), "the control has one mask for all"


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_what_is_learnt_of_some_classes_holds_for_others(layers):
    """Where masks follow from box weights; 0 layers: the control, which cannot know."""
    torch.manual_seed(0)
    boxes, rule = Boxes(classes=200), torch.randn(20, 8)
    nn.init.normal_(boxes.bbox_pred.weight)
    nn.init.normal_(boxes.cls_score.weight)
    transfer = WeightTransfer(20, 8, layers) if layers else None
    one = TransferBranch(RegionAlign((4,), 2), 8, transfer, "cls_box", torch.ones(200).bool())
    one.align, one.trunk = Given(), nn.Identity()

    def regions(labels: Tensor) -> tuple[Tensor, Tensor]:
        """Of one region of each label: logits, and whether each place is the object's."""
        seen = torch.randn(len(labels), 8, 6, 6)
        weights = class_weights(boxes, "cls_box")[labels] @ rule
        true = torch.einsum("rchw,rc->rhw", seen, weights) > 0
        return one.own_logits([seen], [], [labels], boxes), true

    descent = torch.optim.Adam(one.parameters(), 0.02)
    for _ in range(250):
        logits, true = regions(torch.arange(192))  # but the last eight classes
        descent.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logits, true.float()).backward()
        descent.step()
    with torch.no_grad():
        logits, true = regions(torch.arange(192, 200).repeat(20))
    right = ((logits > 0) == true).float().mean()
    assert right < 0.6 if layers == 0 else right > 0.8


@pytest.mark.parametrize("settings", [{}, {"mlp": True, "agnostic": True}], ids=str)
def test_the_head_learns_of_any_number_of_objects(settings):
    torch.manual_seed(0)
    head = MaskX(**FACTS, **TINY, masks_of=["ant", "bee"], **settings)
    scenes = [objects([]), objects([0, 1, 2]), objects([2])]
    parts = head.losses(maps_of(3), scenes)
    assert set(parts) == {"loss", "objectness", "proposal", "class", "box", "mask"}
    parts["loss"].backward()
    assert all(weight.grad is not None for weight in head.parameters())
    for scenes in ([objects([]), objects([])], [objects([2] * 300)]):
        assert head.losses(maps_of(len(scenes)), scenes)["mask"] == 0
    head.box.least_score = 0.0
    for least in (0.0, 1.0):
        head.box.least_score = least
        for found in head.found(maps_of(2), [(64, 64), (40, 64)]):
            assert found.masks.shape == (len(found.boxes), 28, 28)
            assert bool(len(found.boxes)) == (least == 0)


def test_a_class_that_is_none_is_told():
    with pytest.raises(ValueError, match="no class is called 'ants'; did you mean 'ant'"):
        MaskX(**FACTS, **TINY, masks_of=["ants"])
