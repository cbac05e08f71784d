"""Several scales of an image merged: an equivariant network gives the same through each of them."""

from dataclasses import replace

import pytest
import torch

from engine.core.build import build
from engine.core.network import network, pixels_read
from engine.training.predicting import predicted
from models.blocks.detection.scene import UNKNOWN, Found
from models.blocks.detection.targets import semantic_of
from models.policies.transforms import Transforms
from tests.models.test_scenes import Told, made
from tests.support.networks import TINY
from tests.support.scenes import NAMES, Scenes, scene_network

BOX = (12.0, 8.0, 30.0, 26.0)  # in an image of 40 x 48 px, h x w


class Equivariant:
    """Finds one box and its left half, wherever a view has them; `placed` notes the views."""

    scenes, column, target = True, "image", "box_label"
    head = object()

    def __init__(self, objective):
        self.objective, self.augment, self.seen = objective, objective.augment, []

    def placed(self, images, shorter=None, mirrored=False):
        found = self.objective.placed(images, shorter, mirrored)
        self.seen.append((found[1][0], mirrored))
        return found

    def scenes_found(self, images, contents):
        (height, width), mirrored = self.seen[-1]
        assert contents == [(height, width)]
        x, y = width / 48, height / 40
        left, top, right, bottom = BOX
        box = [left * x, top * y, right * x, bottom * y]
        if mirrored:
            box[0], box[2] = width - box[2], width - box[0]
        half = torch.zeros(1, 4, 4)
        half[:, :, slice(2, 4) if mirrored else slice(2)] = 1
        label, score = torch.tensor([1]), torch.tensor([0.5 if mirrored else 0.6])
        return [Found(torch.tensor([box]), label, score, half)]

    def columns_of(self, *given):
        return self.objective.columns_of(*given)


@pytest.mark.parametrize("merge", ["nms", "vote"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shorter", [[20], [40], [80], [20, 40, 80], [17, 31, 90]])
def test_an_equivariant_network_finds_the_same_through_every_transform(shorter, flip, merge):
    objective = Equivariant(made("instances"))
    policy = Transforms(shorter=shorter, flip=flip, merge=merge)
    image = torch.zeros(40, 48, 3, dtype=torch.uint8)
    found, targets = policy(objective, {"image": [image]}, None)
    assert len(objective.seen) == len(shorter) * (1 + flip) and targets == {}
    exact = {"atol": 0, "rtol": 0} if shorter != [17, 31, 90] and merge == "nms" else {}
    torch.testing.assert_close(found["boxes"][0], torch.tensor([BOX]), **exact)
    assert found["box_label"][0].tolist() == [1]
    assert found["box_score"][0].tolist() == [pytest.approx(0.6)]
    (mask,) = found["masks"][0]
    assert mask[12:22, 13:20].all() and not mask[:, 22:].any() and not mask[:8].any()
    assert found["sides"][0].tolist() == [48, 40]


def test_the_scales_are_those_of_the_paper_where_a_test_has_800_pixels():
    objective, image = made("detection", test_shorter=800), torch.zeros(480, 640, 3)
    views = Transforms().views(objective, image)
    assert views == [(side, flipped) for side in range(400, 1201, 100) for flipped in (False, True)]
    assert Transforms(scales=[0.5, 2], flip=False).views(made("detection"), image) == [
        (240, False),
        (960, False),
    ]


HEADS = [("detection", "faster_rcnn"), ("instances", "mask_rcnn"), ("instances", "pointrend")]
OF_PIXELS = [("semantic", "semantic_fpn"), ("panoptic", "panoptic_fpn")]


@pytest.mark.parametrize(("objective", "head"), HEADS)
def test_one_view_is_the_plain_answer(objective, head):
    module = scene_network(objective, head).eval()
    module.head.box.least_score, module.head.box.detections = 0.0, 5
    samples = Scenes(3).reading(module.reads)
    policy = Transforms(scales=[1.0], flip=False)
    ((_, one, targets),) = predicted(module, samples, policy)
    ((_, plain, expected),) = predicted(module, samples)
    assert one.keys() - {"sides"} == plain.keys() and targets.keys() == expected.keys()
    for name, column in plain.items():
        assert all(map(torch.equal, one[name], column)), name
    assert sum(map(len, plain["boxes"])) == 15


@pytest.mark.parametrize(("objective", "head"), OF_PIXELS)
def test_one_view_of_pixels_is_the_plain_answer(objective, head):
    module = scene_network(objective, head).eval()
    samples = Scenes(3).reading(module.reads)
    # of things none is sure enough
    policy = Transforms(scales=[1.0], flip=False, least_score=1.0, least_area=0)
    ((_, one, targets),) = predicted(module, samples, policy)
    ((_, plain, expected),) = predicted(module, samples)
    assert targets.keys() == expected.keys()
    for row, semantic in enumerate(plain["semantic"]):
        labels, panoptic = one["panoptic_label"][row], one["panoptic"][row]
        assert torch.equal(semantic_of(panoptic, labels), semantic)


def test_things_of_a_panoptic_head_have_their_masks_in_each_view():
    module = scene_network("panoptic", "panoptic_fpn").eval()
    module.head.box.least_score = 0.0
    policy = Transforms(scales=[0.5, 1.0], least_score=0.0, least_area=0, most=3)
    samples = Scenes(2).reading({"image": {}})
    ((_, found, targets),) = predicted(module, samples, policy)
    for labels, thing in zip(found["panoptic_label"], found["panoptic_thing"], strict=True):
        assert set(labels[thing].tolist()) <= set(module.head.things.tolist())
        assert not set(labels[~thing].tolist()) & set(module.head.things.tolist())
    assert targets == {} and any(thing.any() for thing in found["panoptic_thing"])


def test_masks_are_asked_of_each_view_on_the_merged_boxes():
    module = scene_network("instances", "mask_rcnn").eval()
    module.head.box.least_score = 0.0
    image = Scenes(1).samples[0]["image"]
    policy = Transforms(scales=[1.0, 1.5], most=4)
    with torch.no_grad():
        found, _ = policy(module, {"image": [image]}, None)
        boxes, height, width = found["boxes"][0], *image.shape[:2]
        mean = 0
        for side, mirrored in policy.views(module, image):
            (seen,), ((high, wide),) = module.placed([image], side, mirrored)
            placed = boxes * torch.tensor([wide / width, high / height] * 2)
            if mirrored:
                placed[:, [0, 2]] = wide - placed[:, [2, 0]]
            given = module.backbone(seen[None]), [placed], found["box_label"]
            masks = module.head.masks_at(*given)[0]
            mean = mean + (masks.flip(2) if mirrored else masks) / 4
    whole = Found(boxes, found["box_label"][0], found["box_score"][0], mean)
    again = module.columns_of([whole], [(height, width)], [(width, height)])
    assert torch.equal(again["masks"][0], found["masks"][0]) and len(boxes) == 4


class Pixels(Told):
    """Tells three classes, and none: the third where it is bright, sky (or so) elsewhere."""

    gives = ("boxes", "masks", "semantic")

    def found(self, maps, contents):
        bright = maps[0].mean(1, keepdim=True).sign() * 3
        scores = torch.full((len(bright), len(NAMES) + 1, *bright.shape[2:]), -torch.inf)
        scores[:, [5]], scores[:, [6]], scores[:, [len(NAMES)]] = bright, -bright, bright * 0 - 9
        whole = super().found(maps, contents)
        pairs = zip(whole, scores, strict=True)
        return [replace(one, semantic=own) for one, own in pairs]


@pytest.mark.parametrize("name", ["semantic", "panoptic"])
def test_classes_of_pixels_become_a_map_that_can_be_learnt(name):
    module = made(name).eval()
    module.head = Pixels()
    image = torch.zeros(64, 48, 3, dtype=torch.uint8)
    image[:32] = 255
    if name == "semantic":
        told = Pixels.found
        module.head.found = lambda *given: [
            Found(semantic=one.semantic) for one in told(module.head, *given)
        ]
    policy = Transforms(scales=[0.5, 1.0], least_area=9, least_score=0.5)
    found, _ = policy(module, {"image": [image, image]}, None)
    labels, panoptic = found["panoptic_label"][0], found["panoptic"][0]
    assert found["confidence"].shape == (2,) and 0.9 < found["confidence"][0] <= 1
    assert "boxes" not in found and panoptic.shape == (64, 48) and panoptic.dtype == torch.int32
    if name == "semantic":
        assert labels.tolist() == [5, 6] and not found["panoptic_thing"][0].any()
        assert (panoptic[:28] == 1).all() and (panoptic[36:] == 2).all()
    else:  # a thing that fills the image but for its rounded corners
        assert labels.tolist() == [1, 5, 6]
        assert found["panoptic_thing"][0].tolist() == [True, False, False]
        assert (panoptic[8:56, 8:40] == 1).all() and panoptic[0, 0] == 2 and panoptic[-1, 0] == 3
    no_crowd = [torch.zeros(len(labels), dtype=torch.bool)] * 2
    taught = module.scene(found | {"panoptic_crowd": no_crowd}, 0)
    assert taught["semantic"].unique().tolist() == labels.tolist() and UNKNOWN not in labels


def test_a_network_of_one_class_for_an_image_is_refused():
    module = network(TINY, {"name": "supervised"}, {"name": "linear"}, classes=3).eval()
    images = {"image": torch.zeros(1, 32, 32, 3, dtype=torch.uint8)}
    with pytest.raises(ValueError, match="supervised has one answer for an image: take pseudo"):
        build("policies", {"name": "transforms"})(module, images, None)


def test_what_is_read_of_images_to_be_labelled_is_pixels_alone():
    assert pixels_read(made("instances").reads) == {"image": {}}
