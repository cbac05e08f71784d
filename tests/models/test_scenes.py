"""Views of images with places, and answers brought back to the images: every objective of scenes.

The heads here are told the truth, so that what comes back has to be it.
"""

import pytest
import torch
from torch import nn

from corpus.reading.sampler import seeded
from engine.core.network import columns_read
from models.blocks.augment.draws import Draws
from models.blocks.detection.scene import UNKNOWN, Found, SceneHead
from models.blocks.methods.objects import unjudged
from models.objectives.detection import Detection
from models.objectives.instances import Instances
from models.objectives.panoptic import Panoptic
from models.objectives.semantic import Semantic
from tests.support.scenes import NAMES, Scenes

OBJECTIVES = {"detection": Detection, "instances": Instances, "semantic": Semantic}
OBJECTIVES["panoptic"] = Panoptic
STRIDE = 8
SIDE = 56  # of a grid over a box
SETTINGS = {"shorter": [40, 56], "longer": 64, "crop": 0.6, "canvas": 64, "test_shorter": 48}


class Trunk(nn.Module):
    """Its map is the mean of the image in steps."""

    channels, strides = [3], [STRIDE]

    def forward(self, images):
        return [nn.functional.avg_pool2d(images, STRIDE)]


class Told(SceneHead):
    """Keeps the scenes it is taught, and finds one object: the content of each image."""

    gives = ("boxes", "masks", "semantic")
    strides, classes = [STRIDE], len(NAMES)

    def losses(self, maps, scenes):
        self.scenes = scenes
        return {"loss": sum(each.mean() for each in maps)}

    def found(self, maps, contents):
        whole = [torch.tensor([[0.0, 0, width, height]]) for height, width in contents]
        one = torch.ones(1)
        return [Found(box, one.long(), one, torch.ones(1, 4, 4)) for box in whole]


def made(name: str, **options) -> nn.Module:
    return OBJECTIVES[name](Trunk(), Told(), **options)


def batch_of(name: str, count: int = 6) -> dict:
    read = columns_read({"name": name})
    return Scenes(count).reading(read).read(torch.arange(count))


def draws(first: int = 0, total: int = 6) -> Draws:
    return Draws(seeded(3), first, total)


def taught(module: nn.Module, view: dict) -> list:
    module(view)
    return module.head.scenes


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one == other


@pytest.mark.parametrize("name", OBJECTIVES)
def test_views_are_those_of_their_draws_whoever_holds_the_images(name):
    module, batch = made(name, **SETTINGS), batch_of(name)
    whole = taught(module, module.views(batch, draws()))
    assert len({scene.seed for scene in whole}) == 6
    for first, n in ((0, 2), (2, 4)):
        part = {key: values[first : first + n] for key, values in batch.items()}
        view = module.views(part, draws(first))
        assert view["image"].shape == (n, 3, 64, 64)
        for one, other in zip(taught(module, view), whole[first : first + n], strict=True):
            assert all(same(value, vars(other)[key]) for key, value in vars(one).items())


@pytest.mark.parametrize("name", ["instances", "panoptic"])
def test_boxes_and_masks_lie_in_the_content_and_fit_each_other(name):
    module = made(name, **SETTINGS)
    scenes = taught(module, module.views(batch_of(name), draws()))
    assert sum(len(scene.boxes) for scene in scenes) > 5
    for scene in scenes:
        height, width = scene.content
        assert (scene.boxes >= 0).all() and (scene.boxes[:, [0, 2]] <= width).all()
        assert (scene.boxes[:, [1, 3]] <= height).all()
        assert scene.masks.shape[1:] == (64, 64)
        assert not scene.masks[:, height:].any() and not scene.masks[:, :, width:].any()
        for box, mask in zip(scene.boxes, scene.masks, strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            around = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            # a crop may leave less of a mask than of its box
            assert (around[:2] >= box[:2] - 1.5).all() and (around[2:] <= box[2:] + 1.5).all()


def test_pixels_beside_the_image_are_of_no_class():
    module = made("semantic", **SETTINGS)
    for scene in taught(module, module.views(batch_of("semantic"), draws())):
        height, width = scene.content
        assert (scene.semantic[height:] == UNKNOWN).all()
        assert (scene.semantic[:, width:] == UNKNOWN).all()
        assert (scene.semantic[:height, :width] < len(NAMES)).float().mean() > 0.8


@pytest.mark.parametrize("shorter", [None, 96, 24])
def test_what_is_found_comes_back_to_the_image(shorter):
    """Boxes exactly; masks but for pixels at their borders."""
    module, batch = made("panoptic", **SETTINGS), batch_of("instances")
    images, contents = module.placed(batch["image"], shorter)
    mirrored, again = module.placed(batch["image"], shorter, mirrored=True)
    assert again == contents
    for image, other, (height, width) in zip(images, mirrored, contents, strict=True):
        torch.testing.assert_close(other[:, :height, :width].flip(2), image[:, :height, :width])
        assert not image[:, height:].any() and not image[:, :, width:].any()
        assert all(side % STRIDE == 0 for side in image.shape[1:])
    sides = [tuple(each.tolist()) for each in batch["sides"]]
    answers = []
    for row, (height, width) in enumerate(contents):
        factor = torch.tensor([width / sides[row][0], height / sides[row][1]] * 2)
        boxes = batch["boxes"][row] * factor
        pairs = zip(batch["masks"][row], batch["boxes"][row], strict=True)
        masks = torch.stack([torch.zeros(SIDE, SIDE), *(_grid(*pair) for pair in pairs)])[1:]
        answers.append(Found(boxes, batch["box_label"][row], torch.ones(len(boxes)), masks))
    found = module.columns_of(answers, contents, sides)
    for row, boxes in enumerate(batch["boxes"]):
        torch.testing.assert_close(found["boxes"][row], boxes)
        shared = (found["masks"][row] & batch["masks"][row]).flatten(1).sum(1)
        either = (found["masks"][row] | batch["masks"][row]).flatten(1).sum(1)
        assert (shared >= 0.75 * either).all()


def _grid(mask: torch.Tensor, box: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """A mask within its box, as a head gives it."""
    left, top, right, bottom = box.int().tolist()
    part = mask[None, None, top:bottom, left:right].float()
    return nn.functional.interpolate(part, (side, side), mode="nearest-exact")[0, 0]


def test_a_test_does_not_depend_on_the_other_images():
    module, batch = made("semantic"), batch_of("semantic")
    whole = module.test_views(batch, draws())
    for row in range(6):
        alone = module.test_views({key: values[row : row + 1] for key, values in batch.items()}, 0)
        assert torch.equal(alone["image"][0], whole["image"][row])
        [found] = module.predict(alone)["boxes"]
        torch.testing.assert_close(found[0, 2:], batch["sides"][row].float())
    assert set(module.targets(whole)) == {"semantic"}
    assert [len(each) for each in module.predict(whole)["masks"]] == [1] * 6


def test_objects_without_an_area_are_left_out_and_crowds_are_told():
    module, batch = made("detection", flip=0.0), batch_of("detection", 2)
    batch["boxes"][0] = torch.tensor([[4.0, 4, 4, 30], [5, 5, 20, 20], [1, 1, 9, 9]])
    batch["box_label"][0] = torch.tensor([1, 2, 3])
    batch["box_crowd"][0] = torch.tensor([False, False, True])
    batch["box_ignore"][0] = torch.tensor([True, False, False])
    batch["boxes"][1] = torch.zeros(0, 4)
    for name in ("box_label", "box_crowd", "box_ignore"):
        batch[name][1] = batch[name][1][:0]
    first, none = taught(module, module.views(batch, draws()))
    assert first.labels.tolist() == [2, 3] and first.ignore.tolist() == [False, True]
    assert none.boxes.shape == (0, 4) and none.labels.shape == (0,)


def test_of_classes_that_nobody_looked_for_nothing_is_known():
    found = unjudged(torch.tensor([1, 4]), torch.tensor([2]), torch.tensor([4]), 6)
    assert found.tolist() == [True, False, False, True, True, True]
    module = made("detection", federated=True)
    [scene] = taught(module, module.views(batch_of("detection", 1), draws(total=1)))
    assert scene.unjudged.sum() == len(NAMES) - len(scene.labels.unique())


def test_a_head_that_lacks_what_is_asked_for_is_refused():
    with pytest.raises(ValueError, match="instances: the head Boxes gives no masks"):
        Instances(Trunk(), Boxes())


class Boxes(SceneHead):
    """Finds no masks."""


def test_an_image_larger_than_the_canvas_is_made_smaller():
    module, batch = made("detection", canvas=32, shorter=[40]), batch_of("detection")
    view = module.views(batch, draws())
    assert view["image"].shape[2:] == (32, 32) and view["content"].max() <= 32
    free = made("detection").views(batch, draws())
    assert free["image"].shape[2:] == (48, 48)
