"""The published trunks: the same outputs as another library's network by copied weights, and what
holds for every image, size, type and memory format.
"""

import copy
import re

import pytest
import timm
import torch
import torchvision
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

from engine.core.build import build
from models.blocks.layers.gnconv import global_filter
from models.blocks.layers.patches import WHOLE
from tests.models.test_backbones import classifier, copied, randomised

SMALL_STEM = {"stem": "simple", "stem_stride": 1, "stem_width": 16}
RESIDUAL = {"depths": (1, 2, 1), "width": 16, **SMALL_STEM}
VIT = {"width": 32, "depth": 2, "heads": 2, "hidden": 48, "resolution": 64}
CONV_STEM = {"stem": "convolution", "stem_widths": [8, 8, 16, 16], "stem_strides": [2] * 4}
# of 64 pixels and a few blocks each
SECTIONS = {
    "botnet": {"name": "botnet", **RESIDUAL, "attention_at": [[], "last", "all"], "resolution": 64},
    "gcnet": {"name": "gcnet", **RESIDUAL, "context_at": "all"},
    "halonet": {"name": "halonet", **RESIDUAL, "heads": [2] * 3, "block": 4, "value_ratio": 2.0},
    "hornet": {"name": "hornet", "width": 16, "depths": (1, 1, 1), "orders": (2, 3, 4)},
    "hornet-gf": {
        "name": "hornet",
        "width": 16,
        "depths": (1, 1, 1),
        "orders": (2, 3, 4),
        "filters": [2, 3],
        "resolution": 64,
    },
    "nlnet": {"name": "nlnet", **RESIDUAL, "nonlocal_at": [[], [0], "last"]},
    "vit": {"name": "vit", **VIT},
    "vit-conv": {"name": "vit", **VIT, **CONV_STEM, "classifier": "mean"},
}
every = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS.keys())


def lively(module: nn.Module) -> nn.Module:
    """All weights random, and no scale near zero, lest a branch hide."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1 and not name.endswith("bias"):
            nn.init.uniform_(parameter, 0.5, 1.0)
        else:
            fan = parameter[0].numel() if parameter.ndim > 1 else 100
            nn.init.normal_(parameter, std=fan**-0.5)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


def agree(ours: nn.Module, peer: nn.Module, side: int, batch: int = 2) -> None:
    x = torch.randn(batch, 3, side, side)
    with torch.no_grad():
        found, wanted = ours.eval()(x), peer.eval()(x)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def as_timm_attention(state: dict[str, Tensor], heads: int) -> dict[str, Tensor]:
    """timm's weights with queries, keys and values in one convolution, shortcuts last."""
    found = {}
    for key, value in state.items():
        if not key.endswith("self_attn.q.weight"):
            found[key] = value
    for key in [key for key in found if key.endswith("self_attn.kv.weight")]:
        query = state[key.replace(".kv.", ".q.")]
        # timm's keys and values are side by side in each head
        by_head = found.pop(key).unflatten(0, (heads, 2, -1))
        keys, values = by_head.unbind(1)
        joined = torch.cat([query, keys.flatten(0, 1), values.flatten(0, 1)])
        found[key.replace(".kv.", ".qkv.")] = joined
    return found


def ours_of_byobnet(key: str) -> str:
    """The key in our networks of bottlenecks of one of timm's."""
    for theirs, own in (
        (r"^stem\.conv1\.conv\.", "0.stem.0."),
        (r"^stem\.conv1\.bn\.", "0.stem.1."),
        (r"^stages\.", "0.stages."),
        (r"^head\.fc\.", "1.fc."),
        (r"\.shortcut\.conv\.", ".shortcut.0."),
        (r"\.shortcut\.bn\.", ".shortcut.1."),
        (r"\.conv1_1x1\.conv\.", ".transform.0."),
        (r"\.conv1_1x1\.bn\.", ".transform.1."),
        (r"\.(self_attn|conv2_kxk\.conv)\.", ".transform.3."),
        (r"\.(post_attn|conv2_kxk\.bn)\.", ".transform.4."),
        (r"\.conv3_1x1\.conv\.", ".transform.6."),
        (r"\.conv3_1x1\.bn\.", ".transform.7."),
        (r"\.pos_embed\.(height|width)_rel$", r".positions.\1"),
    ):
        key = re.sub(theirs, own, key)
    return key


def byobnet(blocks: list[ByoBlockCfg], attention: str, side: int, **options: int) -> nn.Module:
    """timm's parts, put together as the paper's network."""
    config = ByoModelCfg(
        blocks=tuple(blocks),
        stem_chs=64,
        stem_type="7x7",
        stem_pool="maxpool",
        self_attn_layer=attention,
        self_attn_kwargs=options,
    )
    return ByobNet(config, num_classes=7, img_size=side)


def test_botnet_of_timms_parts():
    blocks = [
        ByoBlockCfg(type="bottle", d=1, c=64, s=1, gs=0, br=0.25),
        ByoBlockCfg(type="bottle", d=1, c=128, s=2, gs=0, br=0.25),
        ByoBlockCfg(type="self_attn", d=2, c=256, s=2, gs=0, br=0.25),
    ]
    peer = lively(byobnet(blocks, "bottleneck", 64))
    section = {"name": "botnet", "depths": (1, 1, 2), "width": 16, "resolution": 64}
    section |= {"attention_at": [[], [], "all"], "scaled": False}
    ours = classifier(section, 7, "cpu")
    ours.load_state_dict({ours_of_byobnet(key): v for key, v in peer.state_dict().items()})
    agree(ours, peer, 64)


def test_halonet_h1_of_timm():
    torch.manual_seed(0)
    peer = lively(timm.create_model("halonet_h1", num_classes=7))
    for name, parameter in peer.named_parameters():
        # where queries are strided timm counts offsets from the strided place, we from the pixel's
        if re.match(r"stages\.[123]\.0\..*_rel$", name):
            nn.init.zeros_(parameter)
    ours = classifier({"name": "halonet", "heads": [8] * 4, "scaled": False}, 7, "cpu")
    state = as_timm_attention(peer.state_dict(), heads=8)
    ours.load_state_dict({ours_of_byobnet(key): value for key, value in state.items()})
    agree(ours, peer, 256, batch=1)


@pytest.mark.parametrize("side", [224, 160])
def test_vit_of_timm_at_its_resolution_and_another(side):
    peer = lively(
        timm.create_model("vit_tiny_patch16_224", num_classes=7, dynamic_img_size=True, depth=3)
    )
    ours = classifier(
        {"name": "vit", "width": 192, "heads": 3, "hidden": 768, "depth": 3}, 7, "cpu"
    )
    agree(copied(ours, peer), peer, side)


@pytest.mark.parametrize("stem", ["patch", "convolution"])
def test_vit_of_torchvision(stem):
    widths = [ConvStemConfig(width, 3, 2) for width in CONV_STEM["stem_widths"]]
    configs = widths if stem == "convolution" else None
    options = {"image_size": 64, "patch_size": 16, "num_layers": 2, "num_heads": 2}
    options |= {"hidden_dim": 32, "mlp_dim": 48, "num_classes": 7, "conv_stem_configs": configs}
    peer = lively(VisionTransformer(**options))
    own = CONV_STEM if stem == "convolution" else {}
    ours, state = classifier({"name": "vit", **VIT, **own}, 7, "cpu"), peer.state_dict()
    # its positions stand after the stem
    first = ["class_token", "encoder.pos_embedding"]
    order = [*first, *(key for key in state if key not in first)]
    ours.load_state_dict(dict(zip(ours.state_dict(), map(state.get, order), strict=True)))
    agree(ours, peer, 64)


@pytest.mark.parametrize(
    ("section", "make"),
    [
        ({"name": "resnext", "group_width": 8}, {"groups": 32, "width_per_group": 8}),
        ({"name": "resnext", "cardinality": 64}, {"groups": 64, "width_per_group": 4}),
    ],
)
def test_resnext_of_torchvision(section, make):
    block, depths = torchvision.models.resnet.Bottleneck, [1, 1, 1, 1]
    peer = randomised(torchvision.models.ResNet(block, depths, num_classes=7, **make))
    agree(copied(classifier(section | {"depths": depths}, 7, "cpu"), peer), peer, 64)


def test_resnet_with_group_norm_of_timm():
    peer = lively(timm.create_model("resnet50_gn", num_classes=7))
    section = {"name": "resnet", "norm": {"name": "group_norm"}}
    agree(copied(classifier(section, 7, "cpu"), peer), peer, 64)


@pytest.mark.parametrize("name", ["gcnet", "nlnet"])
def test_what_is_added_to_a_resnet_starts_as_the_identity(name):
    peer = randomised(torchvision.models.resnet50(num_classes=7))
    ours = classifier({"name": name}, 7, "cpu")
    added = re.compile(r"\.(branch|after)\.")
    order = [key for key in ours.state_dict() if not added.search(key)]
    state = dict(zip(order, peer.state_dict().values(), strict=True))
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert len(missing) > 20 and not unexpected
    agree(ours, peer, 64)


@every
def test_every_parameter_learns(section):
    backbone = lively(build("backbones", section)).train()
    maps = backbone(torch.randn(4, 3, 64, 64))
    sum((each * torch.randn_like(each)).sum() for each in maps).backward()
    still = [name for name, p in backbone.named_parameters() if not p.grad.abs().max() > 0]
    assert not still


@every
def test_images_memory_formats_and_types(section):
    backbone = lively(build("backbones", section))
    x = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        wanted = backbone(x)
        last = copy.deepcopy(backbone).to(memory_format=torch.channels_last)
        found = last(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        alone = backbone(x[1:2])
        torch.testing.assert_close([each[0] for each in alone], [each[1] for each in wanted])
        short = copy.deepcopy(backbone).bfloat16()(x.bfloat16())
    for each, whole in zip(short, wanted, strict=True):
        assert each.dtype is torch.bfloat16
        assert (each.float() - whole).norm() < 0.1 * whole.norm()


@every
def test_other_resolutions_and_sides(section):
    backbone = lively(build("backbones", section))
    for h, w in ((32, 32), (96, 64), (70, 50)):
        with torch.no_grad():
            maps = backbone(torch.randn(1, 3, h, w))
        for each, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
            assert each.shape == (1, channels, -(-h // stride), -(-w // stride))
            assert each.isfinite().all()


@pytest.mark.parametrize("name", ["botnet", "vit"])
def test_programs_for_other_runtimes_take_any_number_of_images(name):
    backbone = lively(build("backbones", SECTIONS[name]))
    number, images = torch.export.Dim("n", min=1, max=512), torch.randn(3, 3, 64, 64)
    program = torch.export.export(backbone, (images[:2],), dynamic_shapes=({0: number},))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images), backbone(images))


@pytest.mark.parametrize("name", ["vit", "hornet"])
def test_the_last_map_is_one_place_for_the_classifier(name):
    backbone = lively(build("backbones", SECTIONS[name]))
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert backbone.strides[-1] == WHOLE and maps[-1].shape[2:] == (1, 1)
    if name == "hornet":
        mean = backbone.norm(maps[-2].mean((2, 3), keepdim=True))
        torch.testing.assert_close(maps[-1], mean)


def test_the_mean_of_patches_is_what_a_vit_without_a_token_classifies_by():
    peer = timm.create_model(
        "vit_tiny_patch16_224", depth=2, num_classes=7, class_token=False, global_pool="avg"
    )
    peer.norm, peer.fc_norm = nn.LayerNorm(192, eps=1e-6), nn.Identity()
    section = {"name": "vit", "width": 192, "heads": 3, "hidden": 768, "depth": 2}
    ours = copied(classifier(section | {"classifier": "mean"}, 7, "cpu"), lively(peer))
    agree(ours, peer, 224)


def test_positions_of_another_resolution_keep_what_is_constant():
    embedding = build("backbones", SECTIONS["vit"]).embedding
    assert embedding.positions_of(4, 4) is embedding.positions
    nn.init.constant_(embedding.positions, 0.25)
    found = embedding.positions_of(6, 3)
    assert found.shape == (1, 19, 32)
    torch.testing.assert_close(found, torch.full_like(found, 0.25))


def test_a_global_filter_of_another_size_is_interpolated():
    x = torch.randn(2, 3, 6, 5).double()
    flat = torch.tensor([1.0, 0.0]).expand(3, 7, 4, 2)
    torch.testing.assert_close(global_filter(x, flat), x)
    rising = flat * torch.arange(4).view(1, 1, 4, 1)
    wanted = torch.fft.rfft2(x) * torch.tensor([0.0, 1.5, 3.0])
    torch.testing.assert_close(torch.fft.rfft2(global_filter(x, rising)), wanted)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"name": "vit", "heads": 5}, "5 heads do not divide width 768"),
        ({"name": "vit", "stem": "convolution", "patch_size": 8}, "product is patch_size 8"),
        ({"name": "hornet", "width": 21}, "a multiple of 2, or a lower order"),
        ({"name": "hornet", "filters": [5]}, "the 4 stages count from 1"),
        ({"name": "hornet", "depths": [1, 1]}, "give each the same number of stages"),
        ({"name": "halonet", "heads": [4]}, "give each the same number of stages"),
        ({"name": "halonet", "block": 7}, "block 7 is no multiple of stride 2"),
        ({"name": "botnet", "heads": 5}, "do not split into 5 heads"),
        ({"name": "gcnet", "context_at": ["all"]}, "1 entries, the network 4 stages"),
    ],
)
def test_networks_that_cannot_be_are_refused(section, told):
    with torch.device("meta"), pytest.raises(ValueError, match=told):
        build("backbones", section)
