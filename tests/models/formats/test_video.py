"""Weights of networks of clips: the names of other libraries, all of them, and files in them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.video import resnet

from engine.core.build import build
from engine.transfer.weights import Init, format_module, load_released, released_tensors
from tests.models.video.test_trunks import lively

R50 = (3, 4, 6, 3)
R2PLUS1D = {"name": "videoresnet", "middle": "width", "depths": R50, "block": "bottleneck"}
R2PLUS1D |= {"stem": "2d", "time_first": True, "spatial_strides": (2, 2, 2, 2)}
HUB = {
    "slowfast_r50": {"name": "slowfast"},
    "slow_r50": {"name": "resnet3d"},
    "c2d_r50": {"name": "resnet3d", "temporal": "c2d"},
    "i3d_r50": {"name": "resnet3d", "temporal": "i3d"},
    "x3d_xs": {"name": "x3d"},
    "csn_r101": {"name": "csn", "depths": (3, 4, 23, 3)},
    "r2plus1d_r50": R2PLUS1D,
}
CAFFE2 = {"eps": 1e-3, "momentum": 0.9}
R34 = {"name": "videoresnet", "depths": R50, **CAFFE2}


def on_meta(section: dict) -> nn.Module:
    with torch.device("meta"):
        return build("backbones", section)


def shapes_in(form: str, backbone: nn.Module) -> dict[str, tuple]:
    """Name in the format: shape here."""
    own = backbone.state_dict()
    return {
        name: tuple(own[key].shape) for key, name in format_module(form).names(backbone).items()
    }


@pytest.mark.parametrize("name", HUB)
def test_names_are_those_of_pytorchvideos_hub(name):
    hub = pytest.importorskip("pytorchvideo.models.hub")
    with torch.device("meta"):
        peer = getattr(hub, name)()
    form = format_module("pytorchvideo")
    theirs = {key: tuple(v.shape) for key, v in peer.state_dict().items() if not form.is_head(key)}
    assert shapes_in("pytorchvideo", on_meta(HUB[name])) == theirs


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple]]:
    for state in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{state}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def convolved(name: str, after: str, shape: tuple) -> Iterator[tuple[str, tuple]]:
    """A convolution, and the norm behind it."""
    yield f"{name}.weight", shape
    yield from norm(after, shape[0])


def pyslowfast_pathway(
    number: int, stem: int, extra: list[int], width: int, times: list[list[int]]
) -> Iterator[tuple[str, tuple]]:
    """Names and shapes of a pathway of bottlenecks by the layout of its model builder.

    extra: channels that come from another pathway before each stage.
    times: frames of the stem's kernel, and of the first kernel of each stage's blocks in turn.
    """
    path, inputs = f"pathway{number}", stem
    of_stem = f"s1.{path}_stem"
    yield from convolved(f"{of_stem}.conv", f"{of_stem}.bn", (stem, 3, times[0][0], 7, 7))
    for i, depth in enumerate(R50):
        inner, inputs = width << i, inputs + extra[i]
        for j in range(depth):
            block, time = f"s{i + 2}.{path}_res{j}", times[i + 1][j % len(times[i + 1])]
            if j == 0:
                one = f"{block}.branch1"
                yield from convolved(one, f"{one}_bn", (4 * inner, inputs, 1, 1, 1))
            two = f"{block}.branch2"
            yield from convolved(f"{two}.a", f"{two}.a_bn", (inner, inputs, time, 1, 1))
            yield from convolved(f"{two}.b", f"{two}.b_bn", (inner, inner, 1, 3, 3))
            yield from convolved(f"{two}.c", f"{two}.c_bn", (4 * inner, inner, 1, 1, 1))
            inputs = 4 * inner


def pyslowfast_slowfast() -> Iterator[tuple[str, tuple]]:
    slow, fast = [[1], [1], [1], [3], [3]], [[5], [3], [3], [3], [3]]
    yield from pyslowfast_pathway(0, 64, [16, 64, 128, 256], 64, slow)
    yield from pyslowfast_pathway(1, 8, [0] * 4, 8, fast)
    for i, channels in enumerate((8, 32, 64, 128)):
        fuse, shape = f"s{i + 1}_fuse", (2 * channels, channels, 7, 1, 1)
        yield from convolved(f"{fuse}.conv_f2s", f"{fuse}.bn", shape)


def pyslowfast_i3d() -> Iterator[tuple[str, tuple]]:
    yield from pyslowfast_pathway(0, 64, [0] * 4, 64, [[5], [3], [3, 1], [3, 1], [1, 3]])
    for stage, blocks, channels in ((3, (1, 3), 512), (4, (1, 3, 5), 1024)):
        for block in blocks:
            name, inner = f"s{stage}.pathway0_nonlocal{block}", channels // 2
            for layer in ("theta", "phi", "g"):
                yield f"{name}.conv_{layer}.weight", (inner, channels, 1, 1, 1)
                yield f"{name}.conv_{layer}.bias", (inner,)
            yield f"{name}.conv_out.weight", (channels, inner, 1, 1, 1)
            yield f"{name}.conv_out.bias", (channels,)
            yield from norm(f"{name}.bn", channels)


def pyslowfast_x3d() -> Iterator[tuple[str, tuple]]:
    stem = "s1.pathway0_stem"
    yield f"{stem}.conv_xy.weight", (24, 3, 1, 3, 3)
    yield from convolved(f"{stem}.conv", f"{stem}.bn", (24, 1, 5, 1, 1))
    inputs = 24
    for i, (depth, inner, outputs, squeezed) in enumerate(
        ((3, 54, 24, 8), (5, 108, 48, 8), (11, 216, 96, 16), (7, 432, 192, 32))
    ):
        for j in range(depth):
            one, two = (f"s{i + 2}.pathway0_res{j}.branch{number}" for number in (1, 2))
            if j == 0:
                yield from convolved(one, f"{one}_bn", (outputs, inputs, 1, 1, 1))
            yield from convolved(f"{two}.a", f"{two}.a_bn", (inner, inputs, 1, 1, 1))
            yield from convolved(f"{two}.b", f"{two}.b_bn", (inner, 1, 3, 3, 3))
            yield from convolved(f"{two}.c", f"{two}.c_bn", (outputs, inner, 1, 1, 1))
            sizes = ((1, squeezed, inner), (2, inner, squeezed)) if j % 2 == 0 else ()
            for number, to, of in sizes:
                yield f"{two}.se.fc{number}.weight", (to, of, 1, 1, 1)
                yield f"{two}.se.fc{number}.bias", (to,)
            inputs = outputs
    yield from convolved("head.conv_5", "head.conv_5_bn", (432, 192, 1, 1, 1))
    yield "head.lin_5.weight", (2048, 432, 1, 1, 1)


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ({"name": "slowfast"}, pyslowfast_slowfast),
        (
            {
                "name": "resnet3d",
                "temporal": "i3d",
                "after": {"name": "non_local"},
                "after_at": [[], [1, 3], [1, 3, 5], []],
            },
            pyslowfast_i3d,
        ),
        ({"name": "x3d", "shortcut_norm": True}, pyslowfast_x3d),
    ],
    ids=["slowfast", "i3d", "x3d"],
)
def test_names_are_those_of_pyslowfasts_model_builder(section: dict, names: Callable):
    assert shapes_in("pyslowfast", on_meta(section)) == dict(names())


class Own(resnet.Conv2Plus1D):
    """Channels between by the convolution's own widths, as VMZ has them."""

    def __init__(self, inputs: int, outputs: int, _: int, stride: int = 1) -> None:
        middle = inputs * outputs * 27 // (inputs * 9 + 3 * outputs)
        super().__init__(inputs, outputs, middle, stride)


class Channelwise(nn.Conv3d):
    def __init__(self, inputs: int, outputs: int, _: int, stride: int = 1) -> None:
        options = {"groups": inputs, "bias": False}
        super().__init__(inputs, outputs, 3, stride, 1, **options)

    get_downsample_stride = staticmethod(resnet.Conv3DSimple.get_downsample_stride)


class Mixed(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, _: int, stride: int = 1) -> None:
        mixing = nn.Conv3d(inputs, outputs, 1, bias=False)
        super().__init__(mixing, nn.BatchNorm3d(outputs), Channelwise(outputs, outputs, 0, stride))

    get_downsample_stride = staticmethod(resnet.Conv3DSimple.get_downsample_stride)


@pytest.mark.parametrize(
    ("section", "parts", "entries"),
    [
        (R34, (resnet.BasicBlock, Own, resnet.R2Plus1dStem), 416),
        ({"name": "csn", **CAFFE2}, (resnet.Bottleneck, Channelwise, resnet.BasicStem), 320),
        (
            {"name": "csn", "interaction": "preserved", **CAFFE2},
            (resnet.Bottleneck, Mixed, resnet.BasicStem),
            416,
        ),
    ],
    ids=["r2plus1d", "ir-csn", "ip-csn"],
)
def test_names_are_those_of_vmz(section, parts, entries):
    block, conv, stem = parts
    with torch.device("meta"):
        peer = resnet.VideoResNet(block, [conv] * 4, list(R50), stem)
    form = format_module("vmz")
    theirs = {key: tuple(v.shape) for key, v in peer.state_dict().items()}
    assert len(theirs) == entries
    left = {key: shape for key, shape in theirs.items() if not form.is_head(key)}
    assert shapes_in("vmz", on_meta(section)) == left


TINY = {"stem_width": 8, "width": 8, "depths": (1, 1)}
HEADS = {
    "vmz": {"fc.weight": torch.zeros(7, 16), "fc.bias": torch.zeros(7)},
    "torchvision": {"fc.weight": torch.zeros(7, 16), "fc.bias": torch.zeros(7)},
    "pyslowfast": {"head.projection.weight": torch.zeros(7, 9)},
    "pytorchvideo": {"blocks.4.proj.bias": torch.zeros(7)},
}
FILES = [
    ({"name": "videoresnet", "stem_middle": 8, **TINY, **CAFFE2}, "vmz"),
    ({"name": "csn", "interaction": "preserved", **TINY, **CAFFE2}, "vmz"),
    ({"name": "videoresnet", "stem_middle": 8, "middle": "block", **TINY}, "torchvision"),
    ({"name": "torchvision_video", "model": "r2plus1d_18"}, "torchvision"),
    ({"name": "resnet3d", **TINY}, "pyslowfast"),
    ({"name": "slowfast", **TINY}, "pyslowfast"),
    ({"name": "slowfast", **TINY}, "pytorchvideo"),
    ({"name": "csn", **TINY}, "pytorchvideo"),
    ({"name": "x3d", "width": 0.5, "depths": [1, 1], "head_width": 8}, "pytorchvideo"),
    (
        {"name": "x3d", "width": 0.5, "depths": [1, 1], "head_width": 8, "shortcut_norm": True},
        "pyslowfast",
    ),
]


def written(backbone: nn.Module, form: str, file: Path) -> None:
    """A file as those authors would have written it."""
    tensors = released_tensors(backbone, form) | HEADS[form]
    if form == "pyslowfast":
        training = {"epoch": 3, "cfg": "TRAIN:\n  ENABLE: true\n"}
        state = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": []}
        torch.save({"model_state": tensors, "optimizer_state": state, **training}, file)
    elif form == "pytorchvideo":
        torch.save({"model_state": tensors}, file)
    else:
        torch.save(tensors, file)


@pytest.mark.parametrize(("section", "form"), FILES, ids=[f"{s['name']}-{f}" for s, f in FILES])
def test_files_of_others_come_in_whole(section, form, tmp_path):
    one, two = lively(build("backbones", section)), build("backbones", section).eval()
    written(one, form, tmp_path / "file.pth")
    told = load_released(two, Init(tmp_path / "file.pth", form))
    count = len(one.state_dict())
    assert f"{count} of {count} tensors" in told and "left behind" in told
    states = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(torch.equal(mine, read) for mine, read in states)


def test_weights_of_torchvision_give_its_features(tmp_path):
    peer = lively(resnet.r2plus1d_18(num_classes=7))
    torch.save(peer.state_dict(), tmp_path / "r2plus1d_18.pth")
    ours = build("backbones", {"name": "videoresnet", "middle": "block"}).eval()
    load_released(ours, Init(tmp_path / "r2plus1d_18.pth", "torchvision"))
    peer.fc, clips = nn.Identity(), torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(clips)[-1].mean((2, 3, 4)), peer(clips), atol=1e-5, rtol=1e-5
        )


def refused(section: dict, form: str, told: str, file: Path) -> None:
    backbone = build("backbones", section)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=told):
        load_released(backbone, Init(file, form))
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())


def test_files_that_do_not_fit_are_told(tmp_path):
    file, (section, form) = tmp_path / "file.pth", FILES[0]
    written(build("backbones", section), form, file)
    # torchvision's rule for the channels between gives other shapes
    refused(section | {"middle": "block"}, form, r"of another shape: layer2\.0\.conv2\.0\.0", file)
    refused(section | {"depths": (1, 2)}, form, r"missing: layer2\.1\.conv1\.0\.0\.weight", file)
    refused(section | {"depths": (1,)}, form, r"unknown: layer2\.0\.conv1", file)
    refused(section | {"eps": 1e-5}, form, r"give the backbone `eps: 0\.001`", file)
    refused(section, "torchvision", r"give the backbone `eps: 1e-05`", file)
    refused(section, "pytorchvideo", r"PyTorchVideo has no names for .* tensors", file)
    refused(section, "pyslowfast", r"PySlowFast has no names for a videoresnet", file)
    slow = {"name": "resnet3d", **TINY}
    refused(slow, "pyslowfast", r"missing: s1\.pathway0_stem\.conv\.weight", file)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(file.read_bytes()[:5000])
    refused(section, form, "truncated or damaged", cut)


@pytest.mark.parametrize(
    ("section", "form", "told"),
    [
        (R34, "vmz", "r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth"),
        ({"name": "csn", "depths": (3, 8, 36, 3)}, "vmz", "irCSN_152_ig65m"),
        ({"name": "csn", "interaction": "preserved"}, "vmz", "ipCSN_152_ig65m"),
        ({"name": "x3d"}, "pyslowfast", "x3d_xs.pyth"),
        ({"name": "slowfast"}, "pyslowfast", r"\.pkl of its model zoo are Caffe2's"),
        ({"name": "slowfast"}, "pytorchvideo", "SLOWFAST_8x8_R50.pyth"),
        ({"name": "torchvision_video", "model": "s3d"}, "torchvision", "s3d-d76dad2f.pth"),
    ],
)
def test_what_to_fetch_is_told(section, form, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        load_released(on_meta(section), Init(tmp_path / "none.pth", form))


@pytest.mark.parametrize(("norm", "form"), [(False, "pyslowfast"), (True, "pytorchvideo")])
def test_the_two_x3d_are_told_apart(norm, form):
    section = {"name": "x3d", "shortcut_norm": norm}
    with pytest.raises(ValueError, match=f"shortcut_norm: {str(not norm).lower()}"):
        released_tensors(on_meta(section), form)
