"""PointRend's mask branch and heads: counts, the released code's order, and what must hold."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.detection.coarsemask import CoarseMask
from models.blocks.detection.pointbranch import PointBranch, refined_boxes
from models.blocks.detection.pointhead import PointHead
from models.blocks.detection.points import (
    Sampling,
    grid,
    in_boxes,
    least_margin,
    point_sample,
)
from models.blocks.detection.scene import UNKNOWN, Scene
from models.heads.pointrend import PointRend
from models.heads.pointrend_semantic import PointRendSemantic

CLASSES, SIDE = 3, 64
FACTS = {"channels": [8, 8, 8, 8], "strides": [4, 8, 16, 4096], "classes": CLASSES}
TINY = {"width": 8, "hidden": 16, "coarse_hidden": 16, "coarse_side": 4, "steps": 3}
TINY |= {"points": 20, "test_points": 32, "point_hidden": 8, "test_proposals": 20}
SEMANTIC = {"width": 8, "dim": 8, "points": 64, "test_points": 100, "point_hidden": 8}


def count(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def branch(steps: int = 3, points: int = 32, **settings) -> PointBranch:
    torch.manual_seed(0)
    head = PointHead(8, CLASSES, 8, 2)
    made = PointBranch(CoarseMask(8, 4, CLASSES, 4, 16), head, Sampling(20, 3, 0.75), steps, points)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # a new branch answers 0 everywhere
    return made


def pictures(images: int = 2, start: int = 0) -> list[Tensor]:
    return [torch.randn(images, 8, 16, 16, generator=torch.Generator().manual_seed(start))]


BOXES = [torch.tensor([[4.0, 6, 40, 30], [20, 10, 63, 60], [0, 0, 9, 64]]), torch.zeros(0, 4)]
LABELS = [torch.tensor([1, 0, 2]), torch.zeros(0, dtype=torch.int64)]


def objects(labels: list[int], **more) -> Scene:
    """A scene of a square for each label."""
    boxes = torch.tensor([[8.0 + 2 * i, 8, 40, 48 - i] for i in range(len(labels))]).view(-1, 4)
    masks = torch.zeros(len(labels), SIDE, SIDE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    none = torch.zeros(len(labels), dtype=torch.bool)
    told = {
        "content": (SIDE, SIDE),
        "boxes": boxes,
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": none,
        "masks": masks,
        "masks_known": ~none,
        "semantic": None,
        "unjudged": torch.zeros(CLASSES, dtype=torch.bool),
        "seed": 7,
    }
    return Scene(**told | more)


def maps_of(images: int) -> list[Tensor]:
    sides = (16, 8, 4, 1)
    return [torch.randn(images, 8, side, side) for side in sides]


def test_parameters_are_those_of_the_released_code():
    with torch.device("meta"):
        coarse, head = CoarseMask(256, 4, 80), PointHead(256, 80)
    assert (count(coarse), count(head)) == (18_176_080, 285_776)
    # of the semantic one the coarse classes are given once
    with torch.device("meta"):
        once = PointHead(256, 19, again=False)
    assert count(once) == 256 * (256 + 19 + 1) + 2 * 256 * 257 + 19 * 257


def test_the_point_head_is_one_perceptron_for_all_points():
    head = PointHead(6, 4, 8, 3)
    torch.nn.init.normal_(head.predictor.weight)
    fine, coarse = torch.randn(2, 6, 9), torch.randn(2, 4, 9)
    order = torch.randperm(9)
    found = head(fine, coarse)
    torch.testing.assert_close(head(fine[..., order], coarse[..., order]), found[..., order])
    x = torch.cat([fine, coarse], 1).transpose(1, 2)
    for layer in head.layers:
        x = F.linear(x, layer.weight[..., 0], layer.bias).relu()
        x = torch.cat([x, coarse.transpose(1, 2)], 2)  # again after each layer
    wanted = F.linear(x, head.predictor.weight[..., 0], head.predictor.bias)
    torch.testing.assert_close(found, wanted.transpose(1, 2))


def released(made: PointBranch, maps: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """The loop of the released code, which keeps the masks of all classes."""
    coarse = made.coarse(maps, [boxes])
    rows = torch.arange(len(boxes))
    logits = None
    for _ in range(made.steps + 1):
        if logits is None:
            side = made.coarse.side
            places = grid(side, side, boxes).expand(len(boxes), -1, -1)
        else:
            side = 2 * side
            logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
            unsure = -logits[rows, labels].abs().flatten(1)
            cells = unsure.topk(min(side**2, made.points), 1).indices
            places = torch.stack([cells % side, cells // side], 2) / side + 0.5 / side
        fine = in_boxes(maps, 4, [boxes], [places])
        found = made.head(fine, point_sample(coarse, places))
        if logits is None:
            logits = found.view(len(boxes), CLASSES, side, side)
        else:
            there = cells[:, None].expand(-1, CLASSES, -1)
            logits = logits.flatten(2).scatter(2, there, found).view_as(logits)
    return logits[rows, labels].sigmoid()


@pytest.mark.parametrize("points", [15, 60, 64, 300])
def test_masks_are_those_of_the_released_loop(points):
    made = branch(points=points).double()
    pyramid, boxes = [pictures()[0].double()], [own.double() for own in BOXES]
    with torch.no_grad():
        wanted = released(made, pyramid[0][:1], boxes[0], LABELS[0])
    first, second = made.masks(pyramid, boxes, LABELS)
    torch.testing.assert_close(first, wanted.to(first.dtype), rtol=1e-5, atol=1e-5)
    assert first.std() > 0.01 and second.shape == (0, 32, 32)


def test_losses_are_log_2_where_nothing_is_told_and_count_each_region_once():
    made = branch()
    scene = objects([1, 0, 2])
    rows = torch.ones(3, dtype=torch.bool)
    told = ([scene.boxes, BOXES[1]], [scene.labels, LABELS[1]], [scene.masks, scene.masks[:0]])
    for layer in (made.coarse.predictor, made.head.predictor):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    losses = made.losses(pictures(), *told, [rows, rows[:0]], seeds=[1, 2])
    assert [losses[key].item() for key in ("mask", "point")] == pytest.approx([math.log(2)] * 2)


def test_losses_are_of_known_masks_alone_and_follow_from_the_seeds():
    made, scene = branch(), objects([1, 0, 2])
    known = torch.tensor([True, False, True])

    def of(rows: Tensor, known: Tensor, seed: int) -> dict[str, Tensor]:
        told = [scene.boxes[rows]], [scene.labels[rows]], [scene.masks[rows]], [known]
        return made.losses(pictures(1), *told, seeds=[seed])

    every, kept = torch.arange(3), torch.tensor([0, 2])
    one, same = of(every, known, 5), of(kept, known[kept], 5)
    assert one["point"] == same["point"] and one["mask"] == same["mask"]
    other = of(every, known, 6)
    assert other["point"] != one["point"] and other["mask"] == one["mask"]
    none = of(every, ~(known | True), 5)
    sum(none.values()).backward()
    assert sum(none.values()) == 0
    assert all(weight.grad is not None for weight in made.parameters()), "for other workers"


def test_refined_boxes_are_those_of_the_true_class_and_never_empty():
    torch.manual_seed(0)
    head = PointRend(**FACTS, **TINY)
    pyramid, classes = head.pyramid(maps_of(2))[:-1], torch.tensor([1, 0, 2])
    torch.nn.init.normal_(head.box.bbox_pred.weight, std=0.3)
    found, none = refined_boxes(pyramid, BOXES, classes, head.box, (SIDE, SIDE))
    assert none.shape == (0, 4)
    deltas = head.box(pyramid, BOXES)[1]
    for row, label in enumerate(classes.tolist()):
        box = head.box.code.decode(deltas[row, label][None], BOXES[0][row][None])[0]
        torch.testing.assert_close(found[row], box.clamp(0, SIDE))
    with torch.no_grad():
        head.box.bbox_pred.weight.zero_()
        head.box.bbox_pred.bias.view(-1, 4)[:, 0] = 300  # far beyond the canvas
    kept = refined_boxes(pyramid, BOXES, classes, head.box, (SIDE, SIDE))[0]
    assert torch.equal(kept, BOXES[0])


def test_the_branch_learns_an_outline_finer_than_its_coarse_mask():
    made = branch(steps=3, points=64)
    y, x = torch.meshgrid(*[torch.arange(SIDE) + 0.5] * 2, indexing="ij")
    mask = (x - 32) ** 2 + (y - 32) ** 2 < 24**2
    box = torch.tensor([[4.0, 4, 60, 60]])
    # what a backbone may tell of each place
    close = torch.stack([x, y, mask.float() * 64]) / 64
    maps = torch.zeros(1, 8, 16, 16)
    maps[0, :3] = F.avg_pool2d(close[None], 4)[0]
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    for step in range(200):
        told = [box], [torch.tensor([1])], [mask[None]], [torch.ones(1, dtype=torch.bool)]
        losses = made.losses([maps], *told, seeds=[step])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    found = made.masks([maps], [box], [torch.tensor([1])])[0][0] > 0.5
    wanted = F.interpolate(mask[None, None, 4:60, 4:60].float(), 32, mode="area")[0, 0] > 0.5
    overlap = (found & wanted).sum() / (found | wanted).sum()
    coarse = made.coarse(maps, [box])[:, 1:2].sigmoid()
    rough = F.interpolate(coarse, 32, mode="bilinear")[0, 0] > 0.5
    rough_overlap = (rough & wanted).sum() / (rough | wanted).sum()
    assert overlap > 0.93 and overlap > rough_overlap


def test_a_head_finds_masks_and_trains_also_without_an_object():
    torch.manual_seed(0)
    head = PointRend(**FACTS, **TINY)
    scenes = [objects([0, 2]), objects([])]
    losses = head.losses(maps_of(2), scenes)
    assert {"mask", "point", "loss"} <= set(losses)
    assert all(torch.isfinite(value) for value in losses.values())
    alone = head.losses(maps_of(1), [objects([])])
    alone["loss"].backward()
    assert alone["mask"] == 0 and alone["point"] == 0
    assert all(weight.grad is not None for weight in head.parameters())
    for one in head(maps_of(2)):
        assert one.masks.shape == (len(one.boxes), 32, 32)
        assert ((one.masks >= 0) & (one.masks <= 1)).all()


def seen(labels: Tensor, content: tuple[int, int] = (SIDE, SIDE), seed: int = 3) -> Scene:
    return objects([], semantic=labels, content=content, seed=seed, masks=None)


def test_semantic_losses_are_of_pixels_and_points_that_are_known():
    torch.manual_seed(0)
    head, maps = PointRendSemantic(**FACTS, **SEMANTIC), maps_of(2)
    known = torch.randint(CLASSES, (SIDE, SIDE))
    half = known.clone()
    half[:, 32:] = UNKNOWN
    none = torch.full_like(known, UNKNOWN)
    losses = head.losses(maps, [seen(half), seen(none)])
    pyramid = head.pyramid(maps)
    coarse = head.coarse(pyramid)
    wide = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    wanted = F.cross_entropy(wide[:1, :, :, :32], known[None, :, :32])
    torch.testing.assert_close(losses["semantic"], wanted)
    nothing = head.losses(maps, [seen(none), seen(none)])
    nothing["loss"].backward()
    assert nothing["loss"] == 0
    assert all(weight.grad is not None for weight in head.parameters())
    # points lie within the image: what is beside it changes nothing of its own
    beside = half.clone()
    beside[:, 32:] = 1
    pair = [head.losses(maps, [seen(one, (SIDE, 32))] * 2)["point"] for one in (half, beside)]
    assert abs(pair[0] - pair[1]) < 0.05 * pair[0], "but for those that lie on the border"


def test_semantic_steps_predict_the_least_certain_points_of_the_image():
    torch.manual_seed(0)
    head = PointRendSemantic(**FACTS, **SEMANTIC)
    maps, whole = maps_of(1), [(SIDE, SIDE)]
    assert (head.semantic_stride, head.found(maps, whole)[0].semantic.shape[1:]) == (1, (64, 64))
    head.steps = 0
    coarse = head.found(maps, whole)[0].semantic
    torch.testing.assert_close(coarse, head.coarse(head.pyramid(maps))[0])
    head.steps, head.test_points = 1, 100
    twice = F.interpolate(coarse[None], scale_factor=2, mode="bilinear")[0]
    for content in ((64, 64), (64, 40)):
        found = head.found(maps, [content])[0].semantic
        changed = (found != twice).any(0)
        margin = least_margin(twice[None])[0]
        margin[:, content[1] // 2 :] = -torch.inf
        wanted = torch.zeros(32 * 32, dtype=torch.bool)
        wanted[margin.flatten().topk(100).indices] = True
        assert torch.equal(changed.flatten(), wanted)
    with pytest.raises(ValueError, match=r"^steps: 3 make .* finer than the image: 2 at the most"):
        PointRendSemantic(**FACTS, **SEMANTIC, steps=3)
