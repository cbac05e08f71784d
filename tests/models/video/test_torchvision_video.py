"""torchvision's networks of clips: published sizes and costs, its own outputs, what is refused."""

import pytest
import torch
from torch import Tensor, nn

from engine.core.build import build
from engine.measure.complexity import measure
from engine.transfer.freezing import stage_ends
from models.backbones.torchvision_video import expected
from models.blocks.layers.patches import WHOLE

MVIT = {
    "name": "torchvision_video",
    "model": "mvit",
    "frames": 4,
    "resolution": 32,
    "options": {
        "block_setting": [
            {
                "num_heads": heads,
                "input_channels": before,
                "output_channels": after,
                "kernel_q": [3, 3, 3],
                "kernel_kv": [3, 3, 3],
                "stride_q": [1, stride, stride],
                "stride_kv": [1, 2, 2],
            }
            for heads, before, after, stride in [(1, 8, 8, 1), (2, 8, 16, 2), (2, 16, 16, 1)]
        ]
    },
}
SWIN = {
    "name": "torchvision_video",
    "model": "swin3d",
    "options": {
        "patch_size": [2, 4, 4],
        "embed_dim": 8,
        "depths": [2, 1],
        "num_heads": [1, 2],
        "window_size": [2, 4, 4],
    },
}
S3D = {"name": "torchvision_video", "model": "s3d", "pooled": False}
# (section, frames, side) of the smallest of each family
SMALL = [(MVIT, 4, 32), (SWIN, 4, 32), (S3D, 8, 32)]
SMALL += [({"name": "torchvision_video", "model": "r3d_18"}, 4, 16)]
every = pytest.mark.parametrize(
    ("section", "frames", "side"), SMALL, ids=[each[0]["model"] for each in SMALL]
)
# state entries and multiply-adds of the whole network; S3D's classifier is applied at 7 times
PUBLISHED = {
    "s3d": (464, 71_916_314_624 - 6 * 1024 * 400),
    "mvit_v1_b": (313, 70_599_407_808),
    "mvit_v2_s": (397, 64_223_815_872),
    "swin3d_t": (185, 87_764_152_320),
    "r3d_18": (122, 40_696_553_472),
    "mc3_18": (122, 43_342_635_008),
    "r2plus1d_18": (224, 40_519_080_960),
}


def wave(*shape: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """sin(0.37 k + shift) over the flat index k, in double precision."""
    count = torch.Size(shape).numel()
    return scale * torch.sin(0.37 * torch.arange(count).double() + shift).view(shape)


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_costs(model):
    [row] = [row for row in expected if row["options"]["model"] == model]
    with torch.device("meta"):
        backbone = build("backbones", {"name": "torchvision_video", **row["options"]})
        head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=400)
    whole = nn.Sequential(backbone, head)
    counted = measure(whole, row["input"], "torch")["flops"] // 2
    assert (len(whole.state_dict()), counted) == PUBLISHED[model]


@every
def test_contract(section, frames, side):
    with torch.device("meta"):
        backbone = build("backbones", section).train()
        maps = backbone(torch.empty(2, 3, frames, side, side))
    backbone.check_clip(frames, side)
    sizes = zip(backbone.channels, backbone.times, backbone.strides, strict=True)
    for found, (channels, time, stride) in zip(maps, sizes, strict=True):
        of_time, of_side = (-(-frames // time)), (-(-side // stride))
        assert found.shape == (2, channels, of_time, of_side, of_side), (time, stride)
    assert (backbone.times[-1] == WHOLE) == section.get("pooled", True)
    maps[-1].mean().backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []
    ids = [id(p) for layer in backbone.layers() for p in layer.parameters()]
    assert sorted(ids) == sorted(id(p) for p in backbone.parameters())
    ends = stage_ends(backbone)
    assert ends == sorted(set(ends)) and ends[-1] <= len(backbone.layers())


def theirs(section: dict) -> nn.Module:
    """torchvision's own network, its classifier and all."""
    from torchvision.models import get_model, video
    from torchvision.models.video.mvit import MSBlockConfig

    options = dict(section.get("options", {}))
    if section["model"] == "swin3d":
        return video.SwinTransformer3d(**options)
    if section["model"] != "mvit":
        return get_model(section["model"], weights=None, **options)
    blocks = [MSBlockConfig(**each) for each in options["block_setting"]]
    second = {"residual_pool": True, "residual_with_cls_embed": False}
    second |= {"rel_pos_embed": True, "proj_after_attn": True}
    size = (section["resolution"],) * 2
    return video.MViT(size, section["frames"], blocks, **second)


@pytest.mark.parametrize(
    ("section", "frames", "side"), [*SMALL[:2], ({**S3D, "pooled": True}, 13, 209), SMALL[3]]
)
def test_the_head_on_the_pooled_vector_gives_torchvisions_classes(section, frames, side):
    torch.manual_seed(0)
    peer, ours = theirs(section), build("backbones", section)
    for parameter in peer.parameters():  # zero scales would hide a wrong branch
        if parameter.ndim < 2:
            nn.init.normal_(parameter, mean=0.5, std=0.1)
    clips = torch.randn(1, 3, frames, side, side)
    classifier = [m for m in peer.modules() if isinstance(m, nn.Linear | nn.Conv3d)][-1]
    loaded = ours.model.load_state_dict(peer.state_dict(), strict=False)
    assert not loaded.missing_keys and len(loaded.unexpected_keys) == 2
    with torch.no_grad():
        vector, wanted = ours.eval()(clips)[-1], peer.eval()(clips)
        found = vector.flatten(1) @ classifier.weight.flatten(1).T + classifier.bias
    assert vector.shape[2:] == (1, 1, 1) and wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_published_mvits_are_the_same_at_their_own_size_and_built_at_others():
    from torchvision.models import get_model

    for model in ("mvit_v1_b", "mvit_v2_s"):
        with torch.device("meta"):
            own = get_model(model, weights=None).state_dict()
            section = {"name": "torchvision_video", "model": model}
            ours = build("backbones", section).model.state_dict()
            small = build("backbones", {**section, "frames": 8, "resolution": 64})
            assert small(torch.empty(1, 3, 8, 64, 64))[0].shape[2:] == (4, 16, 16)
        kept = {name: t.shape for name, t in own.items() if not name.startswith("head.")}
        assert {name: t.shape for name, t in ours.items()} == kept


@pytest.mark.parametrize(
    ("second", "golden"),
    [
        (False, (-0.4377633325, 0.3880684202, -0.5795694819, 25.7931368094)),
        (True, (-0.3968836874, -0.0120277440, -0.1145721045, 30.5717048330)),
    ],
)
def test_attention_by_hand(second, golden):
    from torchvision.models.video.mvit import MultiscaleAttention

    sizes = {"kernel_q": [3] * 3, "kernel_kv": [3] * 3, "stride_q": [1, 2, 2]}
    sizes |= {"stride_kv": [1, 2, 2], "residual_pool": second, "residual_with_cls_embed": False}
    attention = MultiscaleAttention([2, 4, 4], 8, 8, 2, **sizes, rel_pos_embed=second).double()
    named = dict(attention.named_parameters())
    order = ["rel_pos_h", "rel_pos_w", "rel_pos_t"] * second + ["qkv.weight", "project.0.weight"]
    order += [f"pool_{name}.pool.weight" for name in "qkv"]
    with torch.no_grad():
        for number, name in enumerate(order, 1):
            named[name].copy_(wave(*named[name].shape, shift=number, scale=0.5))
        for name in ("qkv.bias", "project.0.bias"):
            named[name].zero_()
        found, _ = attention.eval()(wave(1, 33, 8), (2, 4, 4))
    flat = found.flatten()
    told = [flat[0], flat[-1], flat.sum(), flat.abs().sum()]
    assert [each.item() for each in told] == pytest.approx(golden, rel=1e-8)


def test_a_separable_convolution_is_one_of_rank_one():
    from torchvision.models.video.s3d import TemporalSeparableConv

    torch.manual_seed(0)
    pair = TemporalSeparableConv(3, 4, 3, 1, 1, lambda width: nn.Identity()).double()
    space, time = pair[0][0], pair[1][0]
    pair[0][2] = pair[1][2] = nn.Identity()  # of linear maps alone
    kernel = torch.einsum("omt,mihw->oithw", time.weight[..., 0, 0], space.weight[:, :, 0])
    clips = torch.randn(1, 3, 5, 6, 6).double()
    whole = nn.functional.conv3d(clips, kernel, padding=1)
    torch.testing.assert_close(pair(clips), whole, atol=1e-12, rtol=0)


def test_clips_that_do_not_fit_are_told_with_a_way_out():
    with torch.device("meta"):
        mvit, s3d = build("backbones", MVIT), build("backbones", {**S3D, "pooled": True})
        wanted = r"built for clips of 4 frames of 32 x 32 pixels, and gets clips of 8 frames of "
        with pytest.raises(ValueError, match=rf"{wanted}32 x 32 .*set `frames: 8` and"):
            mvit(torch.empty(1, 3, 8, 32, 32))
        with pytest.raises(ValueError, match="gets clips of 4 frames of 48 x 48 pixels"):
            mvit.check_side(48)
        with pytest.raises(ValueError, match=r"takes no clips of 16 frames of 64 x 64 pixels"):
            s3d.check_clip(16, 64)
        for network in (mvit, s3d):
            with pytest.raises(ValueError, match=r"takes clips \(n, 3, frames, h, w\).*views: "):
                network(torch.empty(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": "mvit_v2"}, "no 'mvit_v2'; did you mean mvit_v2_s"),
        ({"model": "resnet50"}, "torchvision has no 'resnet50'"),
        ({"model": "s3d", "options": {"width": 2}}, "cannot build s3d with these settings"),
        ({"model": "swin3d"}, "cannot build swin3d .* missing"),
        ({"model": "mvit"}, "cannot build mvit|can't be empty"),
        ({"model": "r3d_18", "drop_path": 0.1}, "drop_path: this network has no"),
        ({"model": "r3d_18", "out": [7]}, "there is no map 7: take of 0 of stride 2"),
    ],
)
def test_what_cannot_be_built_is_told(more, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build("backbones", {"name": "torchvision_video", **more})
