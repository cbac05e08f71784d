"""Weights of others: every tensor accounted for, both ways; what is refused, and why."""

import argparse
import hashlib
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision.models import resnet

from engine.core.build import build
from engine.core.network import network, save_network
from engine.transfer.weights import Init, format_module, init_of, load_released, released_tensors

BASIC = {"name": "resnet", "depths": (1, 1, 1, 1), "block": "basic"}
SMALL = {"name": "resnext", "depths": (1, 1, 1, 1), "group_width": 8, "width": 8, "cardinality": 4}
REGNET = {"name": "regnet", "depth": 4, "w_0": 16, "w_a": 8.0, "w_m": 2.0, "group_width": 8}
VIT = {"name": "vit", "width": 32, "depth": 2, "heads": 2, "hidden": 64, "resolution": 32}
TRUNKS = [
    (BASIC, "torchvision"),
    (BASIC, "timm"),
    (SMALL, "wsl"),
    (SMALL, "torchvision"),
    (REGNET, "timm"),
    (REGNET | {"se_ratio": 0.25}, "timm"),
    ({"name": "efficientnet", "width": 0.5, "depth": 0.5}, "timm"),
    ({"name": "timm", "model": "test_vit", "resolution": 32}, "timm"),
    ({"name": "timm", "model": "test_vit", "resolution": 32}, "dino"),
    ({"name": "timm", "model": "test_convnext"}, "timm"),
    ({"name": "torchvision", "model": "mobilenet_v3_small"}, "torchvision"),
    (BASIC, "moco"),
    (VIT, "timm"),
    (VIT, "torchvision"),
    (VIT, "dino"),
    (BASIC, "swav"),
    (BASIC, "native"),
]


def made(section: dict, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("backbones", section)


def same(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def saved(file: Path, tensors: dict) -> Init:
    safetensors.torch.save_file(tensors, file)
    return Init(file, "torchvision")


def in_format(section: dict, form: str, file: Path) -> nn.Module:
    """A network whose weights are written as those authors would have."""
    one = made(section)
    tensors = released_tensors(one, form)
    head = {"fc.weight": torch.zeros(3, 4), "fc.bias": torch.zeros(3)}
    if form == "native":
        parts = {
            "backbone": section,
            "objective": {"name": "supervised"},
            "head": {"name": "linear"},
        }
        whole = network(**parts, classes=2)
        whole.backbone.load_state_dict(one.state_dict())
        save_network(file, whole, parts, ["a", "b"])
    elif form == "moco":
        own = {f"module.encoder_q.{k}": v for k, v in (tensors | head).items()}
        keys = {f"module.encoder_k.{k}": v + 1.0 for k, v in tensors.items()}
        tree = own | keys | {"module.queue": torch.zeros(2, 2), "module.queue_ptr": torch.zeros(1)}
        torch.save({"epoch": 1, "arch": "resnet50", "state_dict": tree}, file)
    elif form == "dino":
        last = {
            "module.head.last_layer.weight_g": head["fc.bias"],
            "module.head.mlp.0.bias": head["fc.bias"],
        }
        last |= {"module.head.last_layer.weight_v": head["fc.weight"]}
        teacher = {f"module.backbone.{k}": v for k, v in tensors.items()} | last
        student = {k: v + 1.0 for k, v in teacher.items()}
        arguments = argparse.Namespace(arch="vit_small")
        torch.save({"student": student, "teacher": teacher, "epoch": 1, "args": arguments}, file)
    elif form == "swav":
        last = {
            "module.prototypes.weight": head["fc.weight"],
            "module.projection_head.0.bias": head["fc.bias"],
        }
        torch.save({f"module.{k}": v for k, v in tensors.items()} | last, file)
    else:
        torch.save(tensors | head, file)
    return one


@pytest.mark.parametrize(("section", "form"), TRUNKS, ids=[f"{s['name']}-{f}" for s, f in TRUNKS])
def test_weights_in_the_names_of_others_come_in_whole(section, form, tmp_path):
    file = tmp_path / "file.pth"
    one, two = in_format(section, form, file), made(section, 1)
    assert not same(one, two)
    told = load_released(two, Init(file, form))
    assert same(one, two)
    count = len(one.state_dict())
    assert f"{count} of {count} tensors" in told
    # what stays behind is named
    left = {"native": "head.", "moco": "fc.bias", "dino": "head.", "swav": "proj"}.get(
        form, "fc.bias"
    )
    assert left in told.partition("left behind")[2]


@pytest.mark.parametrize(
    ("width", "params"),
    [(8, 88_791_336), (16, 194_026_792), (32, 468_530_472), (48, 828_411_176)],
)
def test_the_networks_pretrained_on_hashtags(width, params):
    section = {"name": "resnext", "depths": (3, 4, 23, 3), "group_width": width}
    with torch.device("meta"):
        backbone = build("backbones", section)
        peer = resnet.ResNet(resnet.Bottleneck, [3, 4, 23, 3], groups=32, width_per_group=width)
    form = format_module("wsl")
    theirs = peer.state_dict()
    ours = {name: backbone.state_dict()[key] for key, name in form.names(backbone).items()}
    assert len(theirs) == 626 and sum(p.numel() for p in peer.parameters()) == params
    assert theirs["layer1.0.conv2.weight"].shape == (32 * width, width, 3, 3)
    assert theirs.keys() - ours.keys() == {"fc.weight", "fc.bias"} and ours.keys() <= theirs.keys()
    assert all(ours[name].shape == theirs[name].shape for name in ours)
    assert form.is_head("fc.weight") and not form.is_head("layer1.0.conv2.weight")


def tensors_of_small() -> dict[str, Tensor]:
    return released_tensors(made(SMALL), "torchvision")


def test_counters_may_be_missing_and_other_floats_are_converted(tmp_path):
    kept = {k: v for k, v in tensors_of_small().items() if not k.endswith("num_batches_tracked")}
    two = made(SMALL, 1)
    told = load_released(
        two, saved(tmp_path / "x.safetensors", {k: v.half() for k, v in kept.items()})
    )
    assert "float16 became float32" in told
    assert two.stem[0].weight.dtype == torch.float32
    torch.testing.assert_close(two.stem[0].weight, made(SMALL).stem[0].weight, atol=1e-3, rtol=1e-3)


def changed(**more) -> dict[str, Tensor]:
    return tensors_of_small() | more


def renamed() -> dict[str, Tensor]:
    found = tensors_of_small()
    found["layer1.0.conv9.weight"] = found.pop("layer1.0.conv2.weight")
    return found


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (renamed, r"1 missing: layer1\.0\.conv2\.weight; 1 unknown: layer1\.0\.conv9\.weight"),
        (
            lambda: changed(**{"conv1.weight": torch.zeros(64, 3, 3, 3)}),
            r"\(64, 3, 3, 3\) and should be",
        ),
        (
            lambda: changed(**{"bn1.weight": torch.full((64,), torch.nan)}),
            "1 not finite: bn1.weight",
        ),
        (lambda: changed(**{"bn1.weight": torch.zeros(64, dtype=torch.int8)}), "torch.int8"),
        (lambda: released_tensors(made(BASIC), "torchvision"), r"missing: .* of another shape"),
        (lambda: {"a": torch.zeros(1)}, r"missing: conv1.weight, .* and 6\d more; 1 unknown: a"),
    ],
)
def test_tensors_that_do_not_fit_are_all_named(tensors, message, tmp_path):
    before, two = made(SMALL, 1), made(SMALL, 1)
    with pytest.raises(ValueError, match=message):
        load_released(two, saved(tmp_path / "x.safetensors", tensors()))
    assert same(before, two)  # nothing of it was taken


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def refused(file: Path, message: str, form: str = "torchvision") -> None:
    with pytest.raises(ValueError, match=message):
        load_released(made(SMALL), Init(file, form))


def test_a_pickle_that_runs_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(tensors_of_small() | {"fc.weight": Harm()}, "x.pth")
    refused(Path("x.pth"), r"a pickle that would run code \(posix.mkdir\)")
    assert not Path("harm").exists()


@pytest.mark.parametrize("form", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_files_are_told(form, share, tmp_path):
    file = tmp_path / form
    if form.endswith("pth"):
        torch.save(tensors_of_small(), file)
    else:
        safetensors.torch.save_file(tensors_of_small(), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    refused(file, r"truncated|damaged")


def test_other_files_are_told(tmp_path):
    page = tmp_path / "x.pth"
    page.write_text("<html>404</html>")
    refused(page, "truncated or damaged|no file of weights")
    torch.save([torch.zeros(1)], page)
    refused(page, "holds a list")
    torch.save({"state_dict": tensors_of_small(), "epoch": 3}, page)
    refused(page, r"not of the format torchvision: state_dict, epoch are no tensors")
    refused(page, "not a weight file of tagdag", "native")
    refused(tmp_path / "none.pth", r"there is no .*none.pth: fetch ig_resnext101_32x8", "wsl")


def test_what_to_fetch_is_told_by_the_librarys_own_table(tmp_path):
    with torch.device("meta"):
        for name, told in (
            ("torchvision", r"resnet18-f37072fd.pth, and put"),
            ("timm", r"timm/resnet18.a1_in1k"),
        ):
            backbone = build("backbones", {"name": name, "model": "resnet18"})
            with pytest.raises(ValueError, match=told):
                load_released(backbone, Init(tmp_path / "x.pth", name))


def test_the_digits_in_a_file_name_are_those_of_the_file(tmp_path):
    file = tmp_path / "net.pth"
    torch.save(tensors_of_small(), file)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    right, wrong = tmp_path / f"net-{digits}.pth", tmp_path / "net-0123abcd.pth"
    for copy in (right, wrong):
        copy.write_bytes(file.read_bytes())
    load_released(made(SMALL), Init(right, "wsl"))
    refused(wrong, rf"SHA-256 begins with {digits}, and not with 0123abcd", "wsl")


def test_slots_have_no_names_elsewhere():
    with torch.device("meta"), pytest.raises(ValueError, match="timm has no names for a anynet"):
        released_tensors(
            build(
                "backbones",
                {
                    "name": "anynet",
                    "depths": [1],
                    "widths": [8],
                    "bottleneck_ratios": [1.0],
                    "group_widths": [8],
                },
            ),
            "timm",
        )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"file": "x.pth", "format": "torchvison"}, "did you mean 'torchvision'"),
        ({"file": "x.pth"}, "missing key 'format'"),
        ({"path": "x.pth", "format": "wsl"}, "unknown key 'path'"),
    ],
)
def test_sections_that_are_wrong_are_told(section, message):
    with pytest.raises(ValueError, match=message):
        init_of(section, "pretrain.x.init")
