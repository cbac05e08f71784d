"""Semantic FPN and Panoptic FPN: what they learn of pixels, how they number classes."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.core.build import build
from models.blocks.detection.scene import Scene
from models.heads.mask_rcnn import MaskRCNN
from models.heads.panoptic_fpn import PanopticFPN
from models.heads.semantic_fpn import SemanticFPN

CHANNELS, STRIDES, SIDE = [8, 12, 16], [4, 8, 16], 64
NAMES = ["cat", "sky", "dog", "grass", "cow"]
THINGS = ["cow", "cat"]  # dogs are taken for stuff
SMALL = {"width": 16, "dim": 16, "hidden": 32, "mask_convs": 1, "norm": "group"}


def maps(n: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    sides = zip(CHANNELS, STRIDES, strict=True)
    return [torch.randn(n, width, SIDE // stride, SIDE // stride) for width, stride in sides]


def scene(seed: int, labels: list[int]) -> Scene:
    """Objects side by side, and classes of pixels of which the right part is beside the image."""
    torch.manual_seed(seed)
    count = len(labels)
    boxes = torch.tensor([[8.0 * i, 4 + i, 8 * i + 12, 40] for i in range(count)]).view(count, 4)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    semantic = torch.randint(0, len(NAMES), (8, 8)).repeat_interleave(8, 0).repeat_interleave(8, 1)
    semantic[:, 40 + 8 * seed :] = 255
    none = torch.zeros(count, dtype=torch.bool)
    unjudged = torch.tensor([False, True, False, False, True])
    content = SIDE, 40 + 8 * seed
    labels = torch.tensor(labels, dtype=torch.int64)
    return Scene(content, boxes, labels, none, masks, ~none, semantic, unjudged, seed)


def panoptic(**options) -> PanopticFPN:
    torch.manual_seed(0)
    given = {"name": "panoptic_fpn", "things": THINGS} | SMALL | options
    facts = {"channels": CHANNELS, "strides": STRIDES, "classes": len(NAMES), "names": NAMES}
    return build("heads", given, **facts).eval()


def semantic() -> SemanticFPN:
    torch.manual_seed(0)
    return SemanticFPN(CHANNELS, STRIDES, len(NAMES), width=16, dim=16).eval()


def test_the_loss_is_of_all_pixels_that_are_known():
    head, scenes = semantic(), [scene(0, []), scene(1, [])]
    given = maps(2)
    targets = torch.stack([each.semantic for each in scenes])
    scores = torch.stack([each.semantic for each in head.found(given, [(SIDE, SIDE)] * 2)])
    assert scores.shape == (2, len(NAMES), SIDE // 4, SIDE // 4)
    whole = F.interpolate(scores, (SIDE, SIDE), mode="bilinear")
    expected = F.cross_entropy(whole, targets, ignore_index=255)
    torch.testing.assert_close(head.losses(given, scenes)["loss"], expected)
    unknown = [replace(each, semantic=torch.full_like(each.semantic, 255)) for each in scenes]
    loss = head.losses(given, unknown)["loss"]
    loss.backward()
    assert loss == 0 and all(each.grad is not None for each in head.parameters())


def test_the_papers_heads_have_their_parameters():
    """Mask R-CNN of 80 things, and the semantic branch of 53 classes of stuff and things."""
    wide, names = ([256, 512, 1024, 2048], [4, 8, 16, 32]), [str(place) for place in range(133)]
    with torch.device("meta"):
        masks, pixels = MaskRCNN(*wide, 80), SemanticFPN(*wide, 54)
        both = PanopticFPN(*wide, 133, names, names[:80])
    assert count(both) == count(masks) + 1_630_774
    assert count(pixels) == count(pixels.pyramid) + 1_630_774


def count(module: torch.nn.Module) -> int:
    """Its parameters."""
    return sum(each.numel() for each in module.parameters())


def test_things_are_learnt_as_by_mask_rcnn_and_stuff_beside_them():
    head, given = panoptic(), maps(2)
    scenes = [scene(0, [0, 4, 2, 4]), scene(1, [1, 0])]
    parts = head.losses(given, scenes)
    torch.manual_seed(0)
    settings = {key: value for key, value in SMALL.items() if key != "dim"}
    alone = MaskRCNN(CHANNELS, STRIDES, 2, **settings).eval()
    alone.load_state_dict(head.state_dict(), strict=False)
    # of the things cat is the first and cow the second, whatever the order in the setting
    own = [_kept(scenes[0], [0, 1, 3], [0, 1, 1]), _kept(scenes[1], [1], [0])]
    expected = alone.losses(given, own)
    for name in ("objectness", "proposal", "class", "box", "mask"):
        torch.testing.assert_close(parts[name], expected[name])
    renamed = torch.full((256,), 255)
    renamed[:5] = torch.tensor([3, 0, 1, 2, 3])  # sky, dog, grass, things
    scores = head.semantics(head.pyramid(given))
    whole = F.interpolate(scores, (SIDE, SIDE), mode="bilinear")
    targets = torch.stack([renamed[each.semantic] for each in scenes])
    pixels = F.cross_entropy(whole, targets, ignore_index=255)
    torch.testing.assert_close(parts["semantic"], 0.5 * pixels)
    torch.testing.assert_close(parts["loss"], expected["loss"] + 0.5 * pixels)
    parts["loss"].backward()
    assert all(each.grad is not None for each in head.parameters())


def _kept(whole: Scene, rows: list[int], labels: list[int]) -> Scene:
    """Some of a scene's objects, of other classes."""
    names = ("boxes", "ignore", "masks", "masks_known")
    some = {name: getattr(whole, name)[rows] for name in names}
    return replace(whole, **some, labels=torch.tensor(labels), unjudged=whole.unjudged[[0, 4]])


@torch.no_grad()
def test_what_is_found_has_the_numbers_of_the_set():
    head, contents = panoptic(least_score=0.0, detections=8), [(SIDE, 40), (SIDE, 48)]
    found = head.found(maps(2), contents)
    told = head.semantics(head.pyramid(maps(2)))
    for one, scores in zip(found, told, strict=True):
        assert set(one.labels.tolist()) == {0, 4} and one.masks.shape[0] == 8
        assert one.semantic.shape == (6, SIDE // 4, SIDE // 4)
        torch.testing.assert_close(one.semantic[[1, 2, 3, 5]], scores)
        assert (one.semantic[[0, 4]] == -torch.inf).all()


@pytest.mark.parametrize(
    ("things", "told"),
    [
        (["cow", "gras"], "no class is called 'gras' .did you mean 'grass'"),
        (["lorry"], "no class is called 'lorry' .known: cat, sky, dog"),
        (NAMES, "5 of 5 classes are things: name some, not all"),
    ],
)
def test_some_classes_are_things(things, told):
    with pytest.raises(ValueError, match=f"panoptic_fpn: things: {told}"):
        panoptic(things=things)


@pytest.mark.parametrize("things", [[], ["cow", "cow"]])
def test_things_are_listed_once(things):
    with pytest.raises(ValueError, match="things"):
        panoptic(things=things)


def test_a_scene_of_which_nothing_is_known():
    head = panoptic()
    parts = head.losses(maps(1), [replace(scene(0, []), semantic=torch.full((SIDE, SIDE), 255))])
    parts["loss"].backward()
    assert parts["semantic"] == parts["mask"] == parts["box"] == 0
    assert all(each.grad is not None for each in head.parameters())


@pytest.mark.parametrize("made", [semantic, panoptic])
def test_pixels_without_classes_are_refused(made):
    with pytest.raises(ValueError, match="given none: take the objective `semantic` or"):
        made().losses(maps(1), [replace(scene(0, [0]), semantic=None)])


def test_a_map_has_place_for_so_many_classes():
    with pytest.raises(ValueError, match="256 classes, and a map of classes has place for 255"):
        SemanticFPN(CHANNELS, STRIDES, 256)
