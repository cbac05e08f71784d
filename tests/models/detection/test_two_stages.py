"""Two-stage heads: what they do with objects to be ignored, classes that are not judged, none."""

import inspect
from collections import Counter
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.ops import box_iou

from engine.core.build import build, plugin
from models.blocks.detection.boxbranch import Regions
from models.blocks.detection.sampling import chosen
from models.blocks.detection.scene import Scene
from models.blocks.layers.patches import WHOLE

SIDE, CLASSES = 64, 4
STRIDES, CHANNELS = [4, 8, 16, WHOLE], [6, 8, 12, 12]
SMALL = {
    "width": 8, "hidden": 12, "canonical": 32, "anchor": 3.0, "mask_convs": 1,
    "candidates": 100, "proposals": 60, "test_candidates": 100, "test_proposals": 40,
}  # fmt: skip


def head(name="mask_rcnn", classes=CLASSES, **options):
    torch.manual_seed(0)
    known = inspect.signature(plugin("heads", name, name)).parameters
    section = {key: value for key, value in (SMALL | options).items() if key in known}
    facts = {"channels": CHANNELS, "strides": STRIDES, "classes": classes}
    return build("heads", {"name": name} | section, **facts)


def maps(count=2, seed=1):
    torch.manual_seed(seed)
    sides = [SIDE // stride if stride < SIDE else 1 for stride in STRIDES]
    pairs = zip(CHANNELS, sides, strict=True)
    return [torch.randn(count, channels, side, side) for channels, side in pairs]


def scene(boxes, labels=None, ignore=(), seed=0, known=True, unjudged=(), content=(SIDE, SIDE)):
    """Objects whose masks are discs in their boxes."""
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    m = len(boxes)
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    across = (x - middle[:, 0, None, None]) / half[:, 0, None, None]
    down = (y - middle[:, 1, None, None]) / half[:, 1, None, None]
    flags = torch.zeros(m, dtype=torch.bool)
    flags[list(ignore)] = True
    silent = torch.zeros(CLASSES, dtype=torch.bool)
    silent[list(unjudged)] = True
    masks_known = torch.full((m,), known)
    masks = (across**2 + down**2 <= 1) & masks_known[:, None, None]
    labels = torch.arange(m) % CLASSES if labels is None else torch.tensor(labels)
    return Scene(content, boxes, labels, flags, masks, masks_known, None, silent, seed)


BOXES = [[4, 4, 30, 28], [30, 20, 60, 60], [5, 40, 20, 60]]
FEW = [scene(BOXES, seed=5), scene(BOXES[1:2], [3], seed=6, content=(SIDE, 50))]


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn"])
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_it_learns_what_it_is_shown(name, norm):
    made, seen = head(name, norm=norm, hidden=48), maps()
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    first = made.losses(seen, FEW)
    for _ in range(50):
        optimizer.zero_grad()
        parts = made.losses(seen, FEW)
        parts["loss"].backward()
        optimizer.step()
    # that of boxes is of the true ones alone at first, which are where they are
    assert all(parts[key] < first[key] for key in parts.keys() - {"box"})
    assert all(each.ndim == 0 and each.dtype == torch.float32 for each in parts.values())
    made.eval()
    found = made.found(seen, [each.content for each in FEW])
    for one, truth in zip(found, FEW, strict=True):
        assert one.scores.diff().le(0).all() and one.scores.amin() > 0.05
        assert (one.boxes[:, 2] <= truth.content[1]).all() and (one.boxes >= 0).all()
        right = box_iou(truth.boxes, one.boxes) > 0.5
        assert right.any(1).all()
        if name == "mask_rcnn":
            assert one.masks.shape == (len(one.boxes), 28, 28)
            assert one.masks.amin() >= 0 and one.masks.amax() <= 1
            # corners of a disc's box are not the disc's
            assert one.masks[0, 13:15, 13:15].mean() > one.masks[0, :2, :2].mean()


def crowded(count=1000):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * (SIDE - 9)
    sides = 1 + torch.rand(count, 2, generator=generator) * 8
    return torch.cat((corner, corner + sides), 1).tolist()


def shifted(truth):
    """Masks that lie beside their boxes."""
    truth.masks = truth.masks.roll((31, 31), (1, 2))
    return truth


ODD = {
    "no object": partial(scene, []),
    "ignored ones only": partial(scene, BOXES, ignore=[0, 1, 2]),
    "no mask known": partial(scene, BOXES, known=False),
    "1,000 objects": lambda: scene(crowded()),
    "masks beside their boxes": lambda: shifted(scene(BOXES)),
    "a box of a hundredth of a pixel": partial(scene, [[5.0, 5, 5.01, 5.01]]),
    "no class judged": partial(scene, BOXES[:1], unjudged=range(CLASSES)),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("beside", [True, False])
def test_odd_images(odd, beside):
    """Losses are finite and every parameter has a gradient, alone or beside an ordinary image."""
    scenes = [ODD[odd](), *FEW[:beside]]
    made = head(norm="group", convs=1)
    parts = made.losses(maps(len(scenes)), scenes)
    assert all(torch.isfinite(each) for each in parts.values())
    parts["loss"].backward()
    assert all(torch.isfinite(each.grad).all() for each in made.parameters())
    nothing = odd in ("no object", "ignored ones only", "no mask known")
    assert (parts["mask"] > 0) == (beside or not nothing)


def test_one_class_and_nothing_found():
    for classes, score in ((1, 0.0), (CLASSES, 1.0)):
        made = head(classes=classes, least_score=score).eval()
        found = made.found(maps(), [(SIDE, SIDE), (40, 30)])
        for one in found:
            m = len(one.boxes)
            assert one.boxes.shape == (m, 4) and one.masks.shape == (m, 28, 28)
            assert one.labels.shape == one.scores.shape == (m,) and (m > 0) == (score == 0)
            assert one.labels.dtype == torch.int64
        assert made(maps())[0].boxes.shape == found[0].boxes.shape


def test_no_proposal():
    """Of an image without content none is left; the true boxes are regions still."""
    made = head()
    proposed = made.rpn(made.pyramid(maps()), (SIDE, SIDE))
    for kept in (
        made.rpn.proposals(proposed, [(SIDE, SIDE), (0, 0)], made.kept),
        [torch.zeros(0, 4)] * 2,
    ):
        regions = made.box.sampled(kept, FEW)
        assert len(kept[1]) == 0 and len(regions[1].boxes) == 1
        assert regions[1].matched.tolist() == [0]
    empty = [torch.zeros(0, 4)] * 2
    assert [
        len(each.boxes) for each in made.box.found(made.pyramid(maps())[:-1], empty, [(9, 9)] * 2)
    ] == [0, 0]


def test_sampled_regions_are_the_seeds():
    """Half and a quarter positive at the most, others fill up, and each image's draw its own."""
    matched = torch.tensor([0] * 50 + [-1] * 400 + [-2] * 30)
    positive, negative = chosen(matched, 64, 0.25, seed=3, stream=0)
    assert len(positive) == 16 and len(negative) == 48
    assert (matched[positive] == 0).all() and (matched[negative] == -1).all()
    few, rest = chosen(matched[45:], 64, 0.25, seed=3, stream=0)
    assert len(few) == 5 and len(rest) == 59
    again = chosen(matched, 64, 0.25, seed=3, stream=0)
    assert torch.equal(torch.cat(again), torch.cat((positive, negative)))
    torch.manual_seed(9)
    for seed, stream in ((4, 0), (3, 1)):
        other, _ = chosen(matched, 64, 0.25, seed=seed, stream=stream)
        assert not torch.equal(other, positive)


def test_a_region_of_what_is_ignored_gives_no_loss():
    made = head("faster_rcnn", regions=100_000)
    truth = scene([BOXES[0], BOXES[1]], ignore=[1])
    inside, near, far = [32.0, 22, 58, 58], [5.0, 5, 30, 28], [40.0, 0, 60, 10]
    (own,) = made.box.sampled([torch.tensor([inside, near, far])], [truth])
    # the ignored object is no region itself either
    assert own.boxes.tolist() == [near, BOXES[0], far] and own.matched.tolist() == [0, 0]


def test_a_class_that_is_not_judged_is_no_wrong_answer():
    made, seen = head("faster_rcnn"), maps(1)
    pyramid = made.pyramid(seen)[:-1]
    regions = [Regions(torch.tensor([BOXES[0], [40.0, 0, 60, 10]]), torch.tensor([0]))]

    def gradient(truth):
        made.zero_grad()
        made.box.losses(pyramid, regions, [truth])["class"].backward(retain_graph=True)
        return made.box.cls_score.bias.grad

    assert (gradient(scene(BOXES[:1], [0])) != 0).all()
    found = gradient(scene(BOXES[:1], [0], unjudged=[0, 2]))
    assert found[2] == 0 and (found[[0, 1, 3, 4]] != 0).all()
    # of its own object it is: of two choices at the start, the other four being equally likely
    logits, _ = made.box(pyramid, [regions[0].boxes])
    judged = logits[:, [0, 1, 3, 4]].softmax(1)
    assert found[0] == pytest.approx(((judged[0, 0] - 1) / 2).item(), rel=1e-5)


def test_boxes_by_l1():
    made, seen = head("faster_rcnn", box_loss="l1"), maps(1)
    pyramid, truth = made.pyramid(seen)[:-1], scene(BOXES[:1], [2])
    regions = [Regions(torch.tensor([[6.0, 4, 30, 30], [40, 0, 60, 10]]), torch.tensor([0]))]
    _, deltas = made.box(pyramid, [regions[0].boxes])
    goal = made.box.code.encode(truth.boxes, regions[0].positive)
    expected = (deltas[0, 2] - goal[0]).abs().sum() / 2
    torch.testing.assert_close(made.box.losses(pyramid, regions, [truth])["box"], expected)


def test_only_masks_that_are_known_are_learnt():
    made, seen = head(), maps(1)
    whole = scene(BOXES[:2], [0, 1], seed=7)
    half = scene(BOXES[:2], [0, 1], seed=7)
    half.masks_known = torch.tensor([True, False])
    half.masks[1] = False
    alone = made.losses(seen, [whole])["mask"], made.losses(seen, [half])["mask"]
    pyramid = made.pyramid(seen)[:-1]
    proposals = made.rpn.proposals(
        made.rpn(made.pyramid(seen), (SIDE, SIDE)), [(SIDE, SIDE)], made.kept
    )
    (own,) = made.box.sampled(proposals, [whole])
    first = own.matched == 0
    rows = [own.positive[first]], [torch.zeros(int(first.sum()), dtype=torch.int64)]
    masks = [whole.masks[:1].expand(int(first.sum()), -1, -1)]
    expected = made.mask.losses(
        pyramid, *rows, masks, [torch.ones(int(first.sum()), dtype=torch.bool)]
    )
    assert alone[1] == expected["mask"] != alone[0]
    with pytest.raises(ValueError, match="instances"):
        whole.masks = None
        made.losses(seen, [whole])


def test_from_scratch_every_norm_is_a_group_norm():
    """The pyramid has 8, the box branch 4, the mask branch 4 (Rethinking ImageNet Pre-training)."""
    facts = {"channels": [256, 512, 1024, 2048], "strides": [4, 8, 16, 32], "classes": 80}
    with torch.device("meta"):
        made = build("heads", {"name": "mask_rcnn", "norm": "group", "convs": 4}, **facts)
    norms = Counter()
    for name, module in made.named_modules():
        norms[name.split(".")[0]] += isinstance(module, nn.GroupNorm)
        assert not isinstance(module, nn.BatchNorm2d)
    assert [norms[part] for part in ("pyramid", "rpn", "box", "mask")] == [8, 0, 4, 4]
    # four convolutions, and the one layer after them
    assert sum(isinstance(layer, nn.Linear) for layer in made.box.trunk) == 1
