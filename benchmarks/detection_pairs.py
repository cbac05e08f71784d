"""Detectors here and torchvision's with the same weights, and the same images for both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import _default_anchorgen
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from engine.core.build import build
from engine.training.norms import freeze_batch_norms
from models.blocks.detection.pasting import pasted
from models.blocks.detection.scene import Found, Scene
from models.formats import torchvision as names_of_torchvision

CLASSES, OBJECTS = 90, 7  # of COCO; it has 7.3 objects an image
SPREAD = 1.0  # of the logits of classes, as of a trained network
CANDIDATES = 2000  # boxes of an image above the threshold, before suppression
# their parts by the names of ours
PARTS = [("backbone.fpn.", "pyramid.fpn.")]
DENSE = [
    ("head.classification_head.conv.", "class_tower."),
    ("head.classification_head.cls_logits.", "class_tower.4."),
    ("head.regression_head.conv.", "box_tower."),
    ("head.regression_head.bbox_reg.", "box_tower.4."),
]
STAGES = [
    ("rpn.head.conv.", "rpn.convs."),
    ("rpn.head.cls_logits.", "rpn.objectness."),
    ("rpn.head.bbox_pred.", "rpn.deltas."),
    ("roi_heads.box_head.fc6.", "box.trunk.1."),
    ("roi_heads.box_head.fc7.", "box.trunk.3."),
    ("roi_heads.box_predictor.", "box."),
    ("roi_heads.mask_head.", "mask.trunk."),
    ("roi_heads.mask_predictor.conv5_mask.", "mask.trunk.4."),
    ("roi_heads.mask_predictor.mask_fcn_logits.", "mask.predictor."),
]
WITH_BACKGROUND = ("box.cls_score.", "box.bbox_pred.", "mask.predictor.")


@dataclass
class Task:
    """Images (n, 3, side, side), normalised, and what is known of them, in the form of either."""

    images: Tensor
    scenes: list[Scene]
    targets: list[dict[str, Tensor]]

    @property
    def contents(self) -> list[tuple[int, int]]:
        return [scene.content for scene in self.scenes]


class Ours(nn.Module):
    """A backbone and a head as an objective of detection calls them."""

    def __init__(self, section: dict[str, Any]) -> None:
        super().__init__()
        self.backbone = build("backbones", {"name": "resnet"})
        facts = {"channels": self.backbone.channels, "strides": self.backbone.strides}
        self.head = build("heads", section, **facts, classes=CLASSES)

    def losses(self, task: Task) -> Tensor:
        return self.head.losses(self.backbone(task.images), task.scenes)["loss"]

    @torch.no_grad()
    def found(self, task: Task) -> list[Found]:
        found = self.head.found(self.backbone(task.images), task.contents)
        for one, content in zip(found, task.contents, strict=True):
            if one.masks is not None:
                one.masks = pasted(one.masks, one.boxes, content)
        return found


class Sized(nn.Module):
    """In the place of torchvision's transform: the images are normalised and on their canvas."""

    def forward(self, images: Tensor, targets: Any = None) -> tuple[ImageList, Any]:
        return ImageList(images, [tuple(images.shape[2:])] * len(images)), targets

    def postprocess(self, result: Any, sizes: Any, original: Any) -> Any:
        for one, size in zip(result, original, strict=False):  # none in training
            if "masks" in one:
                one["masks"] = paste_masks_in_image(one["masks"], one["boxes"], size) >= 0.5
        return result


class Theirs(nn.Module):
    """torchvision's detector, which takes the same images."""

    def __init__(
        self, make: Callable[[nn.Module], nn.Module], levels: dict[str, Any], background: int = 0
    ) -> None:
        super().__init__()
        self.background = background  # classes before the first
        trunk = resnet50(norm_layer=FrozenBatchNorm2d)
        self.model = make(_resnet_fpn_extractor(trunk, 5, **levels))
        self.model.transform = Sized()

    def losses(self, task: Task) -> Tensor:
        targets = [one | {"labels": one["labels"] + self.background} for one in task.targets]
        return sum(self.model.train()(task.images, targets).values())

    @torch.no_grad()
    def found(self, task: Task) -> list[dict[str, Tensor]]:
        return self.model.eval()(task.images)


def retinanet() -> tuple[Ours, Theirs]:
    levels = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    make = partial(RetinaNet, num_classes=CLASSES, anchor_generator=_default_anchorgen())
    theirs = Theirs(partial(make, detections_per_img=100), levels)
    options = {"extra": "convs_p5", "rounding": "torchvision", "normaliser": "image"}
    return Ours({"name": "retinanet"} | options), theirs


def two_stages(name: str, make: Callable[..., nn.Module]) -> tuple[Ours, Theirs]:
    theirs = Theirs(partial(make, num_classes=CLASSES + 1), {}, background=1)
    options = {"rounding": "torchvision", "aligned": False}
    return Ours({"name": name} | options), theirs


PAIRS = {
    "RetinaNet": retinanet,
    "Faster R-CNN": partial(two_stages, "faster_rcnn", FasterRCNN),
    "Mask R-CNN": partial(two_stages, "mask_rcnn", MaskRCNN),
}


def pair(kind: str, task: Task) -> tuple[Ours, Theirs]:
    """Both with the same weights, which find about 100 objects in each image of the task."""
    torch.manual_seed(0)
    ours, theirs = PAIRS[kind]()
    _copy(kind, ours, theirs)
    freeze_batch_norms(ours)
    _sharpen(ours, theirs, task)
    return ours, theirs


def _sharpen(ours: Ours, theirs: Theirs, task: Task) -> None:
    """Scores as various as those of a trained network, of which some are above the threshold."""
    dense = isinstance(theirs.model, RetinaNet)
    if dense:
        last, other = ours.head.class_tower[-1], theirs.model.head.classification_head.cls_logits
    else:
        last, other = ours.head.box.cls_score, theirs.model.roi_heads.box_predictor.cls_score
    seen: list[Tensor] = []
    hook = last.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs))
    ours.found(task)
    hook.remove()
    logits = torch.cat([each.flatten() for each in seen])
    factor = SPREAD / logits.std()
    with torch.no_grad():
        for layer in (last, other):
            layer.weight *= factor
        if dense:
            # log odds of the threshold are to be those of the last of the candidates
            known = (logits - logits.mean()) * factor
            least = known.topk(CANDIDATES * len(task.images)).values[-1]
            for layer in (last, other):
                layer.bias.fill_(log(0.05 / 0.95) - least)


def _copy(kind: str, ours: Ours, theirs: Theirs) -> None:
    own, given = ours.state_dict(), theirs.model.state_dict()
    body = {f"backbone.body.{v}": f"backbone.{k}" for k, v in _trunk_names(ours).items()}
    taken = {name: given[other] for other, name in body.items() if other in given}
    for other, tensor in given.items():
        if not other.startswith("backbone.body."):
            name = _renamed(other, DENSE if kind == "RetinaNet" else STAGES)
            taken[name] = _without_background(name, tensor)
    lacking = own.keys() - taken.keys()
    assert all(name.endswith("num_batches_tracked") for name in lacking), lacking
    ours.load_state_dict(taken, strict=False)


def _trunk_names(ours: Ours) -> dict[str, str]:
    return names_of_torchvision.names(ours.backbone)


def _renamed(name: str, parts: Sequence[tuple[str, str]]) -> str:
    for theirs, ours in [*PARTS, *parts]:
        if name.startswith(theirs):
            return "head." + ours + name.removeprefix(theirs)
    raise AssertionError(name)


def _without_background(name: str, tensor: Tensor) -> Tensor:
    """Theirs is the first of the classes; here it is the last, and has no box and no mask."""
    kind = next((kind for kind in WITH_BACKGROUND if kind in name), None)
    if kind is None:
        return tensor
    each = tensor.unflatten(0, (CLASSES + 1, -1))
    shown = torch.cat((each[1:], each[:1])) if kind == "box.cls_score." else each[1:]
    return shown.flatten(0, 1)


def task(images: int, side: int) -> Task:
    """Noise, with boxes and ellipses in them of sizes from a tenth of the side to its half."""
    generator = torch.Generator().manual_seed(side)
    pixels = torch.randn(images, 3, side, side, generator=generator)
    scenes, targets = [], []
    ticks = torch.arange(side) + 0.5
    for number in range(images):
        sizes = side * (0.1 + 0.4 * torch.rand(OBJECTS, 2, generator=generator))
        corner = (side - sizes) * torch.rand(OBJECTS, 2, generator=generator)
        boxes = torch.cat((corner, corner + sizes), 1)
        middle, half = corner + sizes / 2, sizes / 2
        x, y = [(ticks - middle[:, [i]]) / half[:, [i]] for i in (0, 1)]
        masks = x.square()[:, None, :] + y.square()[:, :, None] <= 1
        labels = torch.randint(1, CLASSES, (OBJECTS,), generator=generator)
        no, yes = torch.zeros(OBJECTS, dtype=torch.bool), torch.ones(OBJECTS, dtype=torch.bool)
        none = torch.zeros(CLASSES, dtype=torch.bool)
        content = (side, side)
        scenes.append(Scene(content, boxes, labels, no, masks, yes, None, none, number))
        targets.append({"boxes": boxes, "labels": labels, "masks": masks.to(torch.uint8)})
    return Task(pixels, scenes, targets)
