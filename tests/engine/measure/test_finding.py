"""What networks that find objects cost, to the masks of what they find."""

import pytest
import torch
from torch import nn

from engine.core.network import network
from engine.measure import profile
from engine.measure.complexity import by_shape, measure, summed
from engine.measure.finding import finished, noise
from engine.measure.profile import profile_network

BACKBONE = {"name": "resnet", "depths": [1, 1], "width": 8, "block": "basic", "stem": "simple"}
BACKBONE |= {"stem_width": 8}
SMALL = {"name": "mask_rcnn", "width": 16, "hidden": 32, "mask_convs": 1, "anchor": 4.0}
SMALL |= {"test_proposals": 40, "detections": 10, "proposals": 40, "regions": 16, "anchors": 16}
SHAPE = (3, 64, 96)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return network(BACKBONE, {"name": "instances"}, SMALL, classes=3).eval()


def layer_by_layer(deployed: nn.Module, images: torch.Tensor) -> int:
    """Multiply-adds of the layers, of what each of them has put out, and their biases."""
    total, hooks = [0], []

    def add(layer, inputs, output):
        each = layer.weight[0].numel() + (layer.bias is not None)
        if isinstance(layer, nn.ConvTranspose2d):
            each = layer.bias is not None
            total[0] += layer.weight[0].numel() * inputs[0].numel()
        total[0] += each * output.numel()

    for layer in deployed.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            hooks.append(layer.register_forward_hook(add))
    with torch.no_grad():
        deployed(images)
    for hook in hooks:
        hook.remove()
    return total[0]


def test_layers_count_for_as_many_regions_as_there_are(module):
    deployed, images = nn.Sequential(module.backbone, module.head), noise(2, SHAPE, "cpu")
    each = [layer_by_layer(deployed, image[None]) for image in images]
    assert [measure(deployed, SHAPE, images=image[None])["flops"] for image in images] == each
    assert measure(deployed, SHAPE)["flops"] == each[0], "noise, where no images are given"
    assert measure(deployed, SHAPE, images=images)["flops"] == round(sum(each) / 2)
    assert summed(by_shape(*deployed, SHAPE))["flops"] == each[0]
    # products of matrices are all that torch counts, twice and without biases
    counted = measure(deployed, SHAPE, "torch")["flops"]
    assert 0.95 * each[0] < counted / 2 < each[0]
    assert not any(layer._forward_hooks for layer in deployed.modules()), "and leave no trace"


def test_what_is_measured_ends_as_answers_do(module):
    images = noise(2, SHAPE, "cpu")
    canvas = SHAPE[1:]
    with torch.no_grad():
        found = module.scenes_found(images, [canvas] * 2)
        columns = module.columns_of(found, [canvas] * 2, [canvas[::-1]] * 2)
    got = finished(found, canvas)
    assert len(found[0].masks) == 10
    for (masks, classes), expected in zip(got, columns["masks"], strict=True):
        assert torch.equal(masks, expected) and classes is None


def test_costs_are_of_the_images_given_and_of_drawn_objects(module, monkeypatch):
    deployed, images = nn.Sequential(module.backbone, module.head), noise(3, SHAPE, "cpu")
    before = {key: value.clone() for key, value in deployed.state_dict().items()}
    seen, ends = [], []
    deployed[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    monkeypatch.setattr(
        profile, "finished", lambda found, canvas: ends.append((len(found), tuple(canvas)))
    )
    where, limits = torch.device("cpu"), {"runs": 3, "seconds": 0.01}
    found = profile_network(deployed, SHAPE, where, (1, 4), images=images, **limits)
    modes = [("inference", 1), ("inference", 4), ("training", 4)]
    assert [(row["mode"], row["batch"]) for row in found["costs"]] == modes
    assert {len(batch) for batch in seen} == {1, 4}
    assert all(torch.equal(batch, images[[0, 1, 2, 0]][: len(batch)]) for batch in seen)
    assert set(ends) == {(1, (64, 96)), (4, (64, 96))}
    assert all(torch.equal(value, before[key]) for key, value in deployed.state_dict().items())
