"""Faster and Mask R-CNN beside torchvision's: the same weights, images of a formula, one answer."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from engine.core.build import build
from models.blocks.detection.maskbranch import mask_targets
from models.blocks.detection.scene import Scene

CANVAS, CLASSES = (128, 160), 5
CONTENTS = [(128, 160), (101, 130)]
CHANNELS, STRIDES = [256, 512, 1024, 2048], [4, 8, 16, 32]
# all that there is is sampled, for neither's generator is the other's
EVERY, KEPT = 10**6, 60
TESTED, FOUND = 200, (400, 30)  # proposals of an image; boxes of either head
AS_TORCHVISION = {
    "rounding": "torchvision", "aligned": False, "anchors": EVERY, "regions": EVERY,
    "proposals": KEPT, "test_proposals": TESTED,
}  # fmt: skip
MADE = {"faster_rcnn": fasterrcnn_resnet50_fpn, "mask_rcnn": maskrcnn_resnet50_fpn}
UNTRAINED = {"weights": None, "weights_backbone": None}
NAMES = {
    "backbone.fpn": "pyramid.fpn",
    "rpn.head.conv": "rpn.convs",
    "rpn.head.cls_logits": "rpn.objectness",
    "rpn.head.bbox_pred": "rpn.deltas",
    "roi_heads.box_head.fc6": "box.trunk.1",
    "roi_heads.box_head.fc7": "box.trunk.3",
    "roi_heads.box_predictor.cls_score": "box.cls_score",
    "roi_heads.box_predictor.bbox_pred": "box.bbox_pred",
    "roi_heads.mask_head": "mask.trunk",
    "roi_heads.mask_predictor.conv5_mask": "mask.trunk.4",
    "roi_heads.mask_predictor.mask_fcn_logits": "mask.predictor",
}


def copied(theirs, ours):
    """Their weights under our names; their background is class 0, ours the last."""
    state = {}
    for key, tensor in theirs.state_dict().items():
        name = next((name for name in NAMES if key.startswith(name + ".")), None)
        if name is None:
            continue
        if name.endswith("cls_score"):
            tensor = tensor.roll(-1, 0)
        if name.endswith(("box_predictor.bbox_pred", "mask_fcn_logits")):
            tensor = tensor[len(tensor) // (CLASSES + 1) :]
        state[NAMES[name] + key.removeprefix(name)] = tensor
    ours.load_state_dict(state)
    return ours


@pytest.fixture(scope="module", params=MADE)
def pair(request):
    """Theirs, ours, and the maps of two images, all of the size of 1."""
    torch.manual_seed(0)
    theirs = MADE[request.param](**UNTRAINED, num_classes=CLASSES + 1).eval()
    theirs.rpn._post_nms_top_n.update(training=KEPT, testing=TESTED)
    masked = request.param == "mask_rcnn"
    theirs.roi_heads.detections_per_img = FOUND[masked]
    with torch.no_grad():
        # scores, boxes and objectness that differ from place to place
        for layer, spread in (("cls_score", 0.02), ("bbox_pred", 0.05)):
            getattr(theirs.roi_heads.box_predictor, layer).weight.normal_(0, spread)
        theirs.rpn.head.cls_logits.weight.normal_(0, 0.05)
        k = torch.arange(2 * 3 * CANVAS[0] * CANVAS[1])
        images = torch.sin(0.37 * k).view(2, 3, *CANVAS)
        maps = [each / each.std() for each in theirs.backbone.body(images).values()]
    sizes = {"channels": CHANNELS, "strides": STRIDES, "classes": CLASSES}
    section = {"name": request.param, "detections": FOUND[masked]} | AS_TORCHVISION
    ours = copied(theirs, build("heads", section, **sizes))
    theirs.backbone.body = Given(maps)
    return SimpleNamespace(theirs=theirs, ours=ours, maps=maps, images=images, masked=masked)


class Given(nn.Module):
    """A body that gives these maps."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return {str(level): each for level, each in enumerate(self.maps)}


def their_answer(pair, targets=None):
    features = pair.theirs.backbone(pair.images)
    listed = ImageList(pair.images, CONTENTS)
    proposals, first = pair.theirs.rpn(listed, features, targets)
    found, second = pair.theirs.roi_heads(features, proposals, CONTENTS, targets)
    return found, first | second


def test_boxes_scores_and_masks(pair):
    with torch.no_grad():
        expected, _ = their_answer(pair)
        found = pair.ours.found(pair.maps, CONTENTS)
    for one, other in zip(found, expected, strict=True):
        assert len(one.scores) == FOUND[pair.masked] and len(one.labels.unique()) > 1
        torch.testing.assert_close(one.scores, other["scores"], rtol=0, atol=1e-5)
        assert torch.equal(one.labels, other["labels"] - 1)
        torch.testing.assert_close(one.boxes, other["boxes"], rtol=0, atol=1e-4)
        assert (one.masks is not None) == pair.masked
        if pair.masked:
            torch.testing.assert_close(one.masks, other["masks"][:, 0], rtol=0, atol=1e-4)


def test_losses_and_gradients(pair):
    boxes = torch.tensor([[10.0, 20, 60, 90], [50, 10, 150, 100], [70.5, 60, 90, 99.5]])
    labels = torch.tensor([4, 0, 2])
    masks = torch.zeros(3, *CANVAS, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1 : (y1 + 2 * y2) // 3, x1:x2] = True
    given = [{"boxes": boxes, "labels": labels + 1, "masks": masks.byte()}]
    given += [{"boxes": boxes[2:], "labels": labels[2:] + 1, "masks": masks[2:].byte()}]
    pair.theirs.rpn.fg_bg_sampler.batch_size_per_image = EVERY
    pair.theirs.roi_heads.fg_bg_sampler.batch_size_per_image = EVERY
    for part in (pair.theirs.rpn, pair.theirs.roi_heads, pair.ours):
        part.train()
    _, expected = their_answer(pair, given)
    found = pair.ours.losses(
        pair.maps,
        [
            scene(boxes, labels, masks, CONTENTS[0]),
            scene(boxes[2:], labels[2:], masks[2:], CONTENTS[1]),
        ],
    )
    names = {"objectness": "loss_objectness", "proposal": "loss_rpn_box_reg"}
    names |= {"class": "loss_classifier", "box": "loss_box_reg"}
    names |= {"mask": "loss_mask"} if pair.masked else {}
    assert found.keys() == {"loss", *names} and expected.keys() == set(names.values())
    for ours, theirs in names.items():
        torch.testing.assert_close(found[ours], expected[theirs], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["loss"], sum(expected.values()))
    found["loss"].backward()
    sum(expected.values()).backward()
    for key, tensor in copied(Gradients(pair.theirs), Holder(pair.ours)).state.items():
        own = pair.ours.get_parameter(key).grad
        torch.testing.assert_close(own, tensor, rtol=1e-3, atol=1e-5)


class Gradients:
    """The gradients of a network as its state."""

    def __init__(self, network):
        self.network = network

    def state_dict(self):
        return {name: each.grad for name, each in self.network.named_parameters()}


class Holder:
    """What is to be loaded."""

    def __init__(self, network):
        self.network = network

    def load_state_dict(self, state):
        assert state.keys() == dict(self.network.named_parameters()).keys()
        self.state = state


def scene(boxes, labels, masks, content):
    yes = torch.ones(len(boxes), dtype=torch.bool)
    unjudged = torch.zeros(CLASSES, dtype=torch.bool)
    return Scene(content, boxes, labels, ~yes, masks, yes, None, unjudged, seed=3)


def test_masks_in_regions():
    torch.manual_seed(0)
    masks = torch.rand(4, 60, 80) > 0.5
    regions = torch.tensor(
        [[0.0, 0, 80, 60], [5.5, 3.25, 70, 9], [60, 40, 80, 60], [10, 10, 11, 12]]
    )
    expected = project_masks_on_boxes(masks, regions, torch.arange(4), 14)
    found = mask_targets([masks[:3], masks[3:]], [regions[:3], regions[3:]], 14, aligned=False)
    torch.testing.assert_close(found, expected)
    assert mask_targets([masks[:0]], [regions[:0]], 14).shape == (0, 14, 14)


def parameters(network):
    return sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize(
    ("name", "whole"), [("faster_rcnn", 41_808_406), ("mask_rcnn", 44_454_513)]
)
def test_as_many_parameters_as_torchvisions(name, whole):
    """With 91 classes, background included; less its trunk, and its boxes of the background."""
    with torch.device("meta"):
        theirs = MADE[name](**UNTRAINED)
        sizes = {"channels": CHANNELS, "strides": STRIDES, "classes": 90}
        ours = build("heads", {"name": name}, **sizes)
    trunk = parameters(theirs.backbone.body)
    of_background = 4 * 1025 + (257 if name == "mask_rcnn" else 0)
    assert parameters(theirs) == whole
    assert parameters(ours) == whole - trunk - of_background
