"""Networks of timm and torchvision as backbones: the contract, by 30 names and 15, each on the
smallest input that it takes; and what the libraries themselves compute.
"""

import copy

import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.core.network import network
from engine.transfer.freezing import stage_ends
from models.blocks.augment.views import IMAGENET_MEAN
from models.blocks.layers.patches import WHOLE
from tests.support.libraries import NETWORKS, few_of, side_of

every = pytest.mark.parametrize("section", [*few_of(NETWORKS, 5)])


def test_there_are_as_many_as_are_promised():
    names = [(each["name"], each["model"]) for each in NETWORKS]
    assert len(set(names)) == len(names)
    assert sum(library == "timm" for library, _ in names) == 30
    assert sum(library == "torchvision" for library, _ in names) == 15


@every
def test_contract(section):
    side, ran = side_of(section), []
    with torch.device("meta"):
        backbone = build("backbones", section).train()
        layers, first = backbone.layers(), {}
        for number, layer in enumerate(layers):
            for part in layer.modules():
                first.setdefault(id(part), number)
        for module in backbone.modules():
            module.register_forward_hook(lambda m, *_: ran.append(first.get(id(m))))
        maps = backbone(torch.empty(2, 3, side, side))
    assert [m.shape[:2] for m in maps] == [(2, c) for c in backbone.channels]
    for shape, stride in zip([m.shape[2:] for m in maps], backbone.strides, strict=True):
        # Inception's convolutions have no padding, and lose pixels at the borders
        assert shape[0] == shape[1] and abs(shape[0] - side / stride) <= 4, (shape, stride)
    assert maps[-1].shape[2:] == (1, 1) and backbone.strides[-1] == WHOLE
    maps[-1].mean().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []
    # layers are the whole backbone, in the order in which they begin
    ids = [id(p) for layer in layers for p in layer.parameters()]
    assert sorted(ids) == sorted(id(p) for p in backbone.parameters())
    begun = list(dict.fromkeys(number for number in ran if number is not None))
    assert begun == sorted(begun)
    ends = stage_ends(backbone)
    assert ends == sorted(set(ends)) and ends[-1] <= len(layers)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_maps_of_convolutions_are_channels_last(library):
    backbone = build("backbones", {"name": library, "model": "resnet18"})
    backbone.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in backbone(images)[:-1])


def theirs(section: dict) -> nn.Module:
    """The library's own network without its classifier."""
    import timm
    from torchvision.models import get_model

    if section["name"] == "timm":
        size = {"img_size": section["resolution"]} if "resolution" in section else {}
        return timm.create_model(
            section["model"], num_classes=0, **size, **section.get("options", {})
        )
    model = get_model(section["model"], weights=None)
    [*_, (last, _)] = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    model.set_submodule(last, nn.Identity())
    return model


TWINS = [
    {"name": "timm", "model": "resnet18"},
    {"name": "timm", "model": "mobilenetv3_small_050"},
    {"name": "timm", "model": "vit_tiny_patch16_224", "resolution": 32},
    {"name": "timm", "model": "convnext_atto"},
    {"name": "torchvision", "model": "resnet18"},
    {"name": "torchvision", "model": "swin_t"},
    {"name": "torchvision", "model": "mobilenet_v3_small"},
]


@pytest.mark.parametrize("section", TWINS, ids=[f"{n['name']}-{n['model']}" for n in TWINS])
def test_the_pooled_vector_is_what_the_librarys_classifier_gets(section):
    torch.manual_seed(0)
    peer, ours = theirs(section), build("backbones", section)
    for parameter in peer.parameters():  # zero scales would hide a wrong branch
        nn.init.normal_(parameter, std=0.1)
    ours.model.load_state_dict(peer.state_dict())
    images = torch.randn(2, 3, side_of(section), side_of(section))
    with torch.no_grad():
        found, expected = ours.eval()(images)[-1].flatten(1), peer.eval()(images)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_maps_are_chosen_and_what_lies_behind_them_is_left_out(library):
    section = {"name": library, "model": "resnet18", "out": [1, 3], "pooled": False}
    backbone = build("backbones", section)
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert backbone.strides == [4, 16] and [m.shape[2] for m in maps] == [16, 4]
    with pytest.raises(ValueError, match=r"no map 9: take of 0 of stride 2, 1 of stride 4"):
        build("backbones", section | {"out": [9]})


def test_a_copy_has_maps_of_its_own():
    one = build("backbones", {"name": "torchvision", "model": "resnet18"}).eval()
    two = copy.deepcopy(one)
    nn.init.zeros_(two.model.layer4[1].bn2.weight)
    images = torch.randn(1, 3, 32, 32)
    assert not torch.equal(one(images)[-2], two(images)[-2])


def test_views_are_normalised_as_the_network_was_trained():
    sections = {"objective": {"name": "supervised"}, "head": {"name": "linear"}}
    images = torch.randint(256, (2, 8, 8, 3), dtype=torch.uint8)
    found = {}
    for model in ("test_resnet", "test_vit"):
        backbone = {"name": "timm", "model": model}
        module = network(backbone, **sections, classes=3)
        found[model] = module.plain(images)
        mean, std = (
            torch.tensor(v).view(3, 1, 1) for v in (module.backbone.mean, module.backbone.std)
        )
        wanted = (images.permute(0, 3, 1, 2) / 255 - mean) / std
        torch.testing.assert_close(found[model], wanted, atol=1e-5, rtol=1e-5)
    import timm

    assert tuple(timm.create_model("test_vit").pretrained_cfg["mean"]) != IMAGENET_MEAN
    assert module.backbone.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "timm", "model": "resnet81"}, r"timm has no 'resnet81'; did you mean resnet"),
        ({"name": "timm", "model": "resnet18.a1_in2k"}, r"did you mean resnet18\.a\d_in1k"),
        ({"name": "timm", "model": "hf-hub:someone/net"}, "timm has no 'hf-hub:someone/net'"),
        ({"name": "torchvision", "model": "swin_tt"}, r"no 'swin_tt'; did you mean swin_t "),
        ({"name": "torchvision", "model": "fasterrcnn_resnet50_fpn"}, "torchvision has no"),
        (
            {"name": "timm", "model": "resnet18", "options": {"pretrained": True}},
            "is set by the code",
        ),
        (
            {"name": "timm", "model": "resnet18", "options": {"nonsense": 1}},
            "cannot build resnet18",
        ),
        ({"name": "torchvision", "model": "resnet18", "drop": 0.5}, "drop: this network has no"),
        (
            {"name": "timm", "model": "vit_tiny_patch16_224", "resolution": 40, "out": [99]},
            "there is no map 99",
        ),
    ],
)
def test_what_cannot_be_built_is_told(section, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build("backbones", section)


def test_images_of_another_size_are_told_with_both_ways_out():
    with torch.device("meta"):
        vit = build("backbones", {"name": "timm", "model": "vit_tiny_patch16_224"})
        inception = build("backbones", {"name": "torchvision", "model": "inception_v3"})
        wanted = r"built for images of 224 x 224 .* gets 32 x 32: set `resolution: 32` in the"
        with pytest.raises(ValueError, match=wanted):
            vit(torch.empty(1, 3, 32, 32))
        with pytest.raises(ValueError, match=wanted):
            vit.check_side(32)
        with pytest.raises(ValueError, match=r"takes no images of 32 x 32 pixels .* or larger"):
            inception.check_side(32)
        inception.check_side(96)


def test_drop_rates_reach_the_library():
    with torch.device("meta"):
        swin = build("backbones", {"name": "torchvision", "model": "swin_t", "drop_path": 0.3})
        conv = build(
            "backbones", {"name": "timm", "model": "convnext_atto", "drop_path": 0.3, "drop": 0.1}
        )
    assert max(m.p for m in swin.modules() if type(m).__name__ == "StochasticDepth") == 0.3
    rates = [m.drop_prob for m in conv.modules() if type(m).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.3) and conv.model.head.drop.p == 0.1
