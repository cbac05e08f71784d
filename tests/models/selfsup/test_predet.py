"""PreDet: where boxes lie in views, which of two views are one, and the contrast between them."""

from functools import partial
from math import exp, log
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou
from torchvision.ops import roi_align as kernel

from engine.core import checkpoint
from engine.core.network import network
from engine.training.distributed import present_workers, wrapped
from engine.training.launching import launch
from models.blocks.augment.crops import Crops
from models.blocks.augment.draws import Draws
from models.blocks.augment.regions import Placed, clipped, overlaps, random_boxes
from models.blocks.augment.views import Views
from models.blocks.layers.roi_align import roi_align
from models.objectives.predet import PreDet, alike, box_contrast
from tests.support.networks import TINY

BOXES = torch.tensor([[10, 20, 60, 80], [0, 0, 30, 30], [70, 50, 99, 99]]).double()
VIEW = (64, 64)
# of an image of 100 x 100
PLACED = Placed(torch.tensor([[5, 10, 60, 70], [20, 0, 75, 90]]).double(), torch.tensor([0, 1]) > 0)
SMALL = {"hidden": 16, "width": 8, "boxes": 6}
BARE = partial(Crops, jitter=(0, 0, 0, 0), jitter_share=0, grey=0, blur=(0,))


def draws(seed: int = 0, **part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), **part)


def objective(**options) -> nn.Module:
    torch.manual_seed(0)
    section = {"name": "predet", **SMALL, **options}
    return network(TINY | {"stem_stride": 1}, section, {"name": "linear"}, classes=4)


def photos(n: int, h: int, w: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {"image": torch.randint(0, 256, (n, h, w, 3), dtype=torch.uint8, generator=generator)}


def seen() -> tuple[Tensor, Tensor]:
    """The boxes of the golden values in both views, and what is seen of them in the image."""
    regions = clipped(PLACED.into(BOXES.expand(2, 3, 4), VIEW), VIEW)
    return regions, PLACED.back(regions, VIEW)


def test_boxes_through_two_crops_and_back():
    regions, places = seen()
    golden = torch.tensor([16 / 3, 64 / 7, 176 / 3, 64], dtype=torch.float64)
    torch.testing.assert_close(regions[0, 0], golden, rtol=1e-8, atol=0)
    first = torch.tensor([[10, 20, 60, 80], [5, 10, 30, 30], [65, 50, 65, 80]]).double()
    second = torch.tensor([[20, 20, 60, 80], [20, 0, 30, 30], [70, 50, 95, 90]]).double()
    torch.testing.assert_close(places, torch.stack([first, second]), rtol=1e-8, atol=1e-12)


def test_overlaps_of_what_is_seen_in_the_image():
    _, places = seen()
    golden = torch.tensor([[0.8, 1 / 32, 0], [1 / 28, 1 / 3, 0]], dtype=torch.float64)
    (found,) = overlaps(*places[:, None])
    torch.testing.assert_close(found[:2], golden, rtol=1e-8, atol=1e-10)
    assert not found[2].any()


def test_overlaps_are_those_of_torchvision():
    one, other = (
        random_boxes(3, count, (0.01, 0.9), (0.2, 5.0), (40, 60), draws()) for count in (7, 4)
    )
    torch.testing.assert_close(overlaps(one, other), torch.stack([*map(box_iou, one, other)]))


def test_a_box_that_is_empty_in_a_view_is_one_with_none():
    regions, places = seen()
    visible = (regions[..., 2:] - regions[..., :2]).amin(2) > 0
    assert visible.tolist() == [[True, True, False], [True, True, True]]
    # an overlap of zero is enough here, but the third box of the first view is not seen
    positive, ignored = alike(places[None], visible[None], 0.0, 0.0)
    assert positive[0].tolist() == [[True] * 3, [True] * 3, [False] * 3] and not ignored.any()
    positive, ignored = alike(places[None], visible[None], 0.02, 0.5)
    assert positive[0].tolist() == [[True, False, False], *[[False] * 3] * 2]
    assert ignored[0].tolist() == [[False, True, False], [True, True, False], [False] * 3]


def test_into_a_view_and_back_is_what_it_was():
    theta = Views((0.1, 1.0), (0.5, 2.0), 0.5).boxes(50, 30 / 50, draws()).double()
    placed = Placed.of(theta, (30, 50))
    boxes = random_boxes(50, 8, (0.05, 0.5), (0.5, 2.0), (30, 50), draws(1)).double()
    assert 5 < placed.flipped.sum() < 45
    back = placed.back(placed.into(boxes, (16, 24)), (16, 24))
    torch.testing.assert_close(back, boxes, rtol=1e-8, atol=1e-8)
    whole = torch.tensor([0.0, 0, 24, 16]).double().expand(50, 1, 4)
    inside = placed.back(whole, (16, 24))
    assert inside.min() > -1e-5 and (inside <= torch.tensor([50, 30] * 2) + 1e-5).all()


def test_random_boxes_have_the_shares_and_shapes_asked_for():
    boxes = random_boxes(200, 8, (0.1, 0.3), (0.5, 2.0), (40, 60), draws())
    sides = boxes[..., 2:] - boxes[..., :2]
    share, ratio = sides.prod(2) / 2400, sides[..., 0] / sides[..., 1]
    assert boxes.min() >= 0 and boxes[..., 2].max() <= 60.001 and boxes[..., 3].max() <= 40.001
    assert 0.0999 < share.min() < 0.11 and 0.29 < share.max() < 0.3001
    assert 0.4999 < ratio.min() < 0.52 and 1.9 < ratio.max() < 2.0001


@pytest.mark.parametrize("sides", [(40, 40), (32, 48)])
def test_views_show_what_their_boxes_say(sides):
    """Colours that tell where a pixel is: the middle of a region has those of its place."""
    h, w = sides
    down, across = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    image = (4 * torch.stack([across, down, 0 * down], 2) + 2).to(torch.uint8)
    method = objective(views=BARE, boxes=8)
    made = method.views({"image": image.expand(12, h, w, 3)}, draws())
    shown = (made["image"] - method.augment.whole.offset) / method.augment.whole.gain
    middles = made["regions"].unflatten(3, (2, 2)).mean(3) / torch.tensor([w, h]) * 2 - 1
    found = F.grid_sample(shown.flatten(0, 1), middles.flatten(0, 1)[:, None], align_corners=False)
    found = found[:, :2, 0].mT.unflatten(0, (12, 2)) / 4
    said = made["places"].unflatten(3, (2, 2)).mean(3)
    # but within half a pixel of a border, where there is nothing to interpolate with
    inner = (middles.abs() < 0.9).all(3) & made["visible"]
    assert inner.sum() > 100
    torch.testing.assert_close(found[inner], said[inner], rtol=0, atol=0.02)


def test_views_are_those_of_their_draws_whoever_holds_the_images():
    method, batch = objective(), photos(8, 32, 32)
    whole = method.views(batch, draws())
    assert set(whole) == {"image", "regions", "places", "visible"} <= {*method.inputs}
    for first, n in ((0, 3), (3, 5)):
        part = {"image": batch["image"][first : first + n]}
        for name, column in method.views(part, draws(first=first, total=8)).items():
            torch.testing.assert_close(column, whole[name][first : first + n])


def test_what_is_cut_from_a_map_to_the_digit():
    """The values of a test of detectron2, of four bins of which each has one place in the middle.

    Two places of each of two bins are the same numbers, averaged by two.
    """
    numbers = torch.arange(25).double().view(1, 1, 5, 5)
    found = roi_align(numbers, torch.tensor([[[1, 1, 3, 3]]]).double(), 2)[:, 0]
    golden = torch.tensor([[4.5, 5, 5.5, 6], [7, 7.5, 8, 8.5], [9.5, 10, 10.5, 11]]).double()
    golden = torch.cat([golden, torch.tensor([[12, 12.5, 13, 13.5]]).double()])
    pairs = F.avg_pool2d(golden[None, None], 2)
    torch.testing.assert_close(found, pairs, rtol=1e-8, atol=0)


@pytest.mark.parametrize("bins", [1, 7])
def test_what_is_cut_from_a_map_is_what_torchvision_cuts(bins):
    generator = torch.Generator().manual_seed(4)
    maps = torch.randn(3, 5, 8, 6, generator=generator).double().requires_grad_()
    boxes = random_boxes(3, 4, (0.02, 0.9), (0.2, 5.0), (8, 6), draws()).double()
    other = kernel(maps, list(boxes), bins, sampling_ratio=2, aligned=True)
    found = roi_align(maps, boxes, bins).flatten(0, 1)
    torch.testing.assert_close(found, other, rtol=1e-8, atol=1e-8)
    grads = (torch.autograd.grad(each.square().sum(), maps)[0] for each in (found, other))
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-8)


def hand(n: int, b: int, **options) -> tuple[Tensor, ...]:
    """Boxes beside each other that both views show: each is one with itself alone."""
    corner = torch.arange(b).double()[:, None] * 10
    places = torch.cat([corner, 0 * corner, corner + 8, 0 * corner + 8], 1)
    places = places.expand(n, 2, b, 4)
    visible = torch.ones(n, 2, b, dtype=bool)
    return visible, *alike(places, visible, 0.5, 0.5)


def test_the_loss_of_boxes_that_are_one_or_at_right_angles():
    directions = torch.eye(6).double().view(2, 1, 3, 6).expand(2, 2, 3, 6)
    loss, share = box_contrast(directions, *hand(2, 3), temperature=0.2)
    assert loss.item() == pytest.approx(log(1 + 5 * exp(-1 / 0.2)), rel=1e-8) and share == 1


def test_features_that_are_free_come_to_the_least_loss_there_is():
    torch.manual_seed(0)
    free = nn.Parameter(torch.randn(2, 2, 3, 6).double())
    solver = torch.optim.Adam([free], lr=0.1)
    for _ in range(300):
        solver.zero_grad()
        loss, _ = box_contrast(F.normalize(free, dim=3), *hand(2, 3), temperature=0.5)
        loss.backward()
        solver.step()
    # corners of a simplex: the cosine of six directions as far apart as they can be is -1 / 5
    least = log(1 + 5 * exp(-6 / 5 / 0.5))
    assert least <= loss.item() < least + 1e-4


def by_pairs(boxes: Tensor, visible: Tensor, positive: Tensor, ignored: Tensor, t: float) -> Tensor:
    """The loss as a sum over pairs."""
    n, _, b, _ = boxes.shape
    losses = []
    for side, i, k in ((s, i, k) for s in range(2) for i in range(n) for k in range(b)):
        scores, good = [], []
        for j, other in ((j, other) for j in range(n) for other in range(b)):
            pair = (k, other) if side == 0 else (other, k)
            if not visible[j, 1 - side, other] or (i == j and ignored[i][pair]):
                continue
            scores.append(boxes[i, side, k] @ boxes[j, 1 - side, other] / t)
            good.append(i == j and bool(positive[i][pair]))
        rows = torch.stack(scores).log_softmax(0)[torch.tensor(good)]
        if visible[i, side, k] and len(rows):
            losses.append(-rows.mean())
    return torch.stack(losses).mean()


def drawn(n: int = 4, b: int = 5) -> tuple[Tensor, ...]:
    """Boxes of two views at random, of which some are not seen, and their pairs."""
    places = random_boxes(2 * n, b, (0.3, 0.9), (0.5, 2.0), (50, 50), draws()).double()
    places = places.view(n, 2, b, 4)
    visible = torch.rand(n, 2, b, generator=torch.Generator().manual_seed(3)) > 0.2
    return visible, *alike(places, visible, 0.3, 0.5)


def test_the_loss_is_that_of_all_pairs_one_by_one():
    generator = torch.Generator().manual_seed(2)
    boxes = F.normalize(torch.randn(4, 2, 5, 7, generator=generator).double(), dim=3)
    rest = drawn()
    assert all(part.any() for part in rest)
    loss, _ = box_contrast(boxes, *rest, temperature=0.3)
    torch.testing.assert_close(loss, by_pairs(boxes, *rest, 0.3), rtol=1e-8, atol=0)


def test_without_any_pair_nothing_is_learnt_and_nothing_breaks():
    boxes = torch.ones(2, 2, 3, 4, requires_grad=True)
    none = torch.zeros(2, 3, 3, dtype=bool)
    loss, share = box_contrast(boxes, torch.zeros(2, 2, 3, dtype=bool), none, none, 0.2)
    loss.backward()
    assert loss == 0 and share == 0 and not boxes.grad.any()


def test_the_gradient_reaches_backbone_and_box_head():
    method = objective(maps=2)
    method(method.views(photos(4, 32, 32), draws()))["loss"].backward()
    for part in (method.backbone.stem, method.box_head, method.projector):
        assert all(parameter.grad.abs().sum() > 0 for parameter in part.parameters())
    assert all(parameter.grad is None for parameter in method.head.parameters())


@pytest.mark.parametrize("sides", [(32, 32), (48, 32)])
def test_a_few_steps_lower_the_loss_at_any_size(sides):
    method, batch = objective(boxes=4), photos(6, *sides)
    solver = torch.optim.Adam(method.parameters(), lr=0.001)
    views, losses = method.views(batch, draws()), []
    for _ in range(20):
        found = method(views)
        solver.zero_grad()
        found["loss"].backward()
        solver.step()
        losses.append(found["loss"].item())
    assert 0 < found["compared"] <= 1 and losses[-1] < 0.7 * losses[0]
    assert method.embedded(method.plain(batch["image"])).shape == (6, 8)


def test_only_backbone_and_head_are_kept():
    assert {name.split(".")[0] for name in objective().export()} == {"backbone", "head"}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"maps": 3}, "maps 3"), ({"negative_iou": 0.6}, "negative_iou 0.6")],
)
def test_what_cannot_be_is_told(options, said):
    with pytest.raises(ValueError, match=said):
        objective(**options)


def test_views_that_do_not_tell_their_crops_are_refused():
    backbone = objective().backbone
    with pytest.raises(ValueError, match="does not tell where its views lie"):
        PreDet(backbone, nn.Linear(1, 1), lambda **_: nn.Identity())


def part_of(folder: Path) -> None:
    """The gradient that two workers agree on, of three images and of one."""
    workers = present_workers()
    torch.manual_seed(0)
    module = wrapped(nn.Linear(7, 6).double(), sharded=False)
    rows = slice(0, 3) if workers.first else slice(3, 4)
    found = F.normalize(module(inputs()[rows]), dim=3)
    loss, _ = box_contrast(found, *(part[rows] for part in drawn()), temperature=0.3)
    (loss * len(found) * workers.world / 4).backward()
    if workers.first:
        grads = {name: p.grad for name, p in module.module.named_parameters()}
        checkpoint.save_tensors(folder / "grads.safetensors", grads, {})


def inputs() -> Tensor:
    return torch.randn(4, 2, 5, 7, generator=torch.Generator().manual_seed(1)).double()


def test_two_workers_have_the_gradient_of_one(tmp_path):
    launch(2, part_of, tmp_path)
    together, _ = checkpoint.load_tensors(tmp_path / "grads.safetensors")
    torch.manual_seed(0)
    module = nn.Linear(7, 6).double()
    box_contrast(F.normalize(module(inputs()), dim=3), *drawn(), 0.3)[0].backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, rtol=1e-9, atol=1e-12)
