"""Every backbone: the contract, the complexities it declares, and the same outputs as another
library's.
"""

import math
from functools import partial
from importlib import import_module

import pytest
import torch
from torch import nn

from engine.core.build import build, choices, plugin
from engine.measure.complexity import measure
from models.backbones.efficientnet import MBConv
from models.backbones.resnet import Basic
from models.blocks.layers.anynet import AnyNet, Bottleneck, fit_groups, quantised_stages

BACKBONES = {
    name: import_module(f"models.backbones.{name}").expected for name in choices("backbones")
}
EXPECTED = [(name, row) for name, rows in BACKBONES.items() for row in rows]
# test_libraries.py and video/test_torchvision_video.py have their contract
LIBRARIES = ("timm", "torchvision", "torchvision_video")
OF_CLIPS = [name for name in BACKBONES if hasattr(plugin("backbones", name, "tests"), "reads")]
BACKBONES = {name: BACKBONES[name] for name in BACKBONES if name not in (*LIBRARIES, *OF_CLIPS)}
SMALL = {
    "name": "resnext",
    "depths": (1, 1, 1, 1),
    "cardinality": 4,
    "width": 16,
    "stem": "simple",
    "stem_stride": 1,
}
SECTIONS = [{"name": name, **rows[0]["options"]} for name, rows in BACKBONES.items()] + [
    SMALL,
    {"name": "regnet", **BACKBONES["regnet"][0]["options"], "se_ratio": 0.25},
    {"name": "resnet", **BACKBONES["resnet"][-1]["options"], "depths": (1, 2, 1)},
    {"name": "resnet", "depths": (1, 1), "block": "basic"},
]
every = pytest.mark.parametrize("section", SECTIONS, ids=[each["name"] for each in SECTIONS])


def classifier(section: dict, classes: int = 1000, device: str = "meta") -> nn.Sequential:
    with torch.device(device):
        backbone = build("backbones", section)
        return nn.Sequential(
            backbone,
            build("heads", {"name": "linear"}, channels=backbone.channels, classes=classes),
        )


def copied(ours: nn.Module, theirs: nn.Module) -> nn.Module:
    """Ours with their weights, which have the same order."""
    source, target = theirs.state_dict().values(), ours.state_dict()
    assert len(source) == len(target)
    ours.load_state_dict(dict(zip(target, source, strict=True)))
    return ours.eval()


def randomised(module: nn.Module) -> nn.Module:
    """Batch norms that do something, lest zero gammas hide a wrong branch, and predictions of
    the order of one.
    """
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.normal_(norm.bias, std=0.1)
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
    for linear in (m for m in module.modules() if isinstance(m, nn.Linear)):
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    return module.eval()


@pytest.mark.parametrize(("name", "row"), EXPECTED)
def test_declared_complexity(name, row):
    counted = measure(
        classifier({"name": name, **row["options"]}, row["classes"]), row["input"], row["rule"]
    )
    declared = {key: row[key] for key in counted if key in row}
    assert "params" in declared
    assert {key: counted[key] for key in declared} == declared


@every
@pytest.mark.parametrize("side", [32, 56])
def test_contract(section, side):
    backbone = build("backbones", section).to(memory_format=torch.channels_last)
    maps = backbone(torch.randn(2, 3, side, side).contiguous(memory_format=torch.channels_last))
    assert [m.shape[1] for m in maps] == backbone.channels
    assert [m.shape[2] for m in maps] == [math.ceil(side / stride) for stride in backbone.strides]
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)
    maps[-1].mean().backward()
    assert all(p.grad is not None for p in backbone.parameters())


@every
def test_layers_are_the_whole_backbone_from_input_to_output(section):
    with torch.device("meta"):
        backbone, ran = build("backbones", section), []
        layers = backbone.layers()
        for layer in layers:
            layer.register_forward_hook(lambda layer, *_: ran.append(layer))
        backbone(torch.empty(2, 3, 32, 32))
    assert ran == layers
    parameters = [id(p) for layer in layers for p in layer.parameters()]
    assert parameters == [id(p) for p in backbone.parameters()]


@pytest.mark.parametrize(
    ("section", "library", "theirs"),
    [
        ({"name": "regnet", **BACKBONES["regnet"][1]["options"]}, "timm", "regnetx_004"),
        ({"name": "regnet", **BACKBONES["regnet"][7]["options"]}, "timm", "regnety_004"),
        ({"name": "efficientnet"}, "timm", "efficientnet_b0"),
        ({"name": "resnet"}, "torchvision", "resnet50"),
        ({"name": "resnet", "depths": (2, 2, 2, 2), "block": "basic"}, "torchvision", "resnet18"),
        ({"name": "resnext"}, "torchvision", "resnext50_32x4d"),
    ],
)
def test_another_library_computes_the_same(section, library, theirs):
    models = pytest.importorskip(f"{library}.models")
    torch.manual_seed(0)
    peer = randomised(getattr(models, theirs)(num_classes=7))
    ours = copied(classifier(section, classes=7, device="cpu"), peer)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), peer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "group_width", "widths", "depths"),
    [
        ((13, 24, 36.44, 2.49), 8, [24, 56, 152, 368], [1, 1, 4, 7]),
        ((22, 24, 24.48, 2.54), 16, [32, 64, 160, 384], [1, 2, 7, 12]),  # torchvision ends with 400
        ((18, 80, 34.01, 2.25), 24, [72, 168, 408, 912], [2, 4, 10, 2]),
        ((16, 48, 27.89, 2.09), 8, [48, 104, 208, 440], [1, 3, 6, 6]),  # RegNetY-400MF
        ((14, 56, 38.84, 2.4), 16, [64, 128, 320, 768], [1, 3, 8, 2]),  # RegNetY-800MF
        ((22, 96, 31.41, 2.24), 64, [128, 192, 512, 1088], [2, 6, 12, 2]),  # RegNetY-4.0GF
    ],
)
def test_published_widths(options, group_width, widths, depths):
    found, runs, skips = quantised_stages(*options)
    assert (fit_groups(found, [1] * 4, [group_width] * 4)[0], runs, skips) == (
        widths,
        depths,
        False,
    )


def test_widths_round_half_to_even():
    # 24 * 1.5 = 36 = 4.5 * 8 goes to 32, and torchvision's 40 is another network
    assert quantised_stages(2, 24, 12.0, 1.5)[0] == [24, 32]
    assert quantised_stages(2, 8, 24.0, 2.0) == ([8, 32], [1, 1], True)


@pytest.mark.parametrize("b", [1, 2, 4, 0.5, 0.25])
def test_fitted_groups_divide_the_bottleneck(b):
    asked = [(w, g) for w in range(8, 400, 8) for g in (1, 2, 4, 8, 16, 24, 32, 40, 64)]
    widths, groups = fit_groups([w for w, _ in asked], [b] * len(asked), [g for _, g in asked])
    for (w, g), fitted, group in zip(asked, widths, groups, strict=True):
        assert fitted / b == int(fitted / b) and int(fitted / b) % group == 0
        assert group <= g and abs(fitted - w) <= max(group * b, g * b, 1)
    assert fit_groups(widths, [b] * len(asked), groups) == (widths, groups)


RESIDUAL = [
    partial(Bottleneck, ratio=1, group_width=8),
    partial(Bottleneck, ratio=0.5, group_width=8, se_ratio=0.25),
    Basic,
    partial(MBConv, expansion=6, kernel=5),
]


@pytest.mark.parametrize("block", RESIDUAL[:3])  # EfficientNet's authors start its last gamma at 1
def test_residual_blocks_start_as_the_identity(block):
    x = torch.rand(4, 16, 8, 8)
    torch.testing.assert_close(block(16, 16, 1)(x), x)


@pytest.mark.parametrize("block", RESIDUAL)
@pytest.mark.parametrize(("outputs", "stride"), [(16, 2), (32, 1), (32, 2)])
def test_blocks_that_change_the_shape_start_with_a_signal(block, outputs, stride):
    changed = block(16, outputs, stride)
    zeros = [name for name, p in changed.named_parameters() if "weight" in name and p.eq(0).all()]
    # zero on the norm of a projection as well, or on a branch that has no shortcut, and nothing
    # would get through
    last = f"transform.{len(changed.transform) - 1}.weight"
    assert zeros == ([] if isinstance(changed, MBConv) else [last])
    assert changed(torch.rand(4, 16, 8, 8)).std() > 0.1


@pytest.mark.parametrize("block", RESIDUAL)
def test_the_stride_is_on_one_spatial_convolution(block):
    convs = [m for m in block(16, 32, 2).transform if isinstance(m, nn.Conv2d)]
    strided = [conv.kernel_size[0] for conv in convs if conv.stride == (2, 2)]
    assert strided in ([3], [5])


def test_convolutions_start_with_the_variance_of_he():
    torch.manual_seed(0)
    net = AnyNet([256], [1], [2], [partial(Bottleneck, ratio=1, group_width=64, se_ratio=0.25)])
    for conv in (m for m in net.modules() if isinstance(m, nn.Conv2d)):
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)


@pytest.mark.parametrize("wrong", [{"w_0": 20}, {"w_m": 1.0}, {"w_a": -1}, {"depth": 0}])
def test_impossible_regnets_are_refused(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(
        ValueError, match=rf"multiple of 8|backbones\.{name} = {value}: Input should be greater"
    ):
        build(
            "backbones",
            {"name": "regnet", "depth": 8, "w_0": 24, "w_a": 8, "w_m": 2, "group_width": 8} | wrong,
        )


def test_number_of_stages_is_free():
    net = build(
        "backbones", {"name": "regnet", "depth": 6, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8}
    )
    assert len(net.channels) == len(net.strides) == len(net(torch.randn(2, 3, 32, 32))) == 3
