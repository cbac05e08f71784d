"""The command that counts what a network costs."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.measure.complexity import summed
from flows.tools import complexity
from flows.tools.counting import counted, table


def test_options_are_those_of_the_section():
    section = complexity.read_section("resnet", "depths: [2, 2, 2, 2], block: basic")
    assert section == {"name": "resnet", "depths": [2, 2, 2, 2], "block": "basic"}


def test_a_file_holds_a_section(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("{name: resnet, width: 32}")
    found = complexity.read_section(str(file), "width: 16")
    assert found == {"name": "resnet", "width": 16}


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("resnet", "depths: [2", "no YAML .* write options as in"),
        ("none.yaml", "", "none.yaml: no such file; give one, or the name"),
    ],
)
def test_what_is_no_section_is_refused(name, options, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=told):
        complexity.read_section(name, options)


@pytest.mark.parametrize("rule", complexity.RULES)
def test_a_row_for_each_shape_of_map(rule):
    rows = counted({"name": "resnet"}, 224, rule, 1000)
    sides = [row["shape"][-1] for row in rows[:-1]]
    assert sides == [56, 56, 28, 14, 7] and rows[-1]["shape"] == ()
    assert [row["layers"] for row in rows] == [1, 3, 4, 6, 3, 1]
    lines = table(rows, rule, stages=True).splitlines()
    assert lines[0].split()[:3] == ["output", "layers", "parameters"]
    assert lines[-1].split()[:4] == ["all,", rule, "18", "25,557,032"]
    assert len(table(rows, rule, stages=False).splitlines()) == 2


def test_a_clip_has_frames_and_an_image_has_none():
    tiny = {"name": "x3d", "depth": 1.0, "bottleneck": 1.0}
    # 1,216 of them of biases, which the reference's 20,662,304 leave out
    assert summed(counted(tiny, 112, "pycls", 400, 1))["flops"] == 20_663_520
    eight, usual = (counted(tiny, 112, "pycls", 400, frames) for frames in (8, None))
    assert eight == usual
    several = counted({"name": "slowfast"}, 64, "pycls", 400, 32)
    assert several[0]["shape"] == (64, 8, 16, 16)
    with pytest.raises(ValueError, match="frames: resnet reads images: leave it out"):
        counted({"name": "resnet"}, 64, "pycls", 10, 8)


def test_command():
    call = [sys.executable, "-m", "flows.complexity", "vit", "width: 192, heads: 5"]
    run = subprocess.run(call, capture_output=True, text=True)
    assert run.returncode == 2
    assert "backbone: 5 heads do not divide width 192: give a divisor of it" in run.stderr


TINY_RESNET = {"name": "resnet", "depths": [1, 1, 1], "block": "basic", "width": 16}
TINY_RESNET |= {"stem": "simple", "stem_width": 16}


def test_a_head_of_objects_is_counted_by_running_it():
    """A RetinaNet's convolutions, by the rule by hand: 3x3 of each level, and the two last ones."""
    head = {"name": "retinanet", "width": 8, "convs": 1}
    before = torch.random.get_rng_state()
    rows = counted(TINY_RESNET, 64, "pycls", 3, head=head)
    again = counted(TINY_RESNET, 64, "pycls", 3, head=head)
    assert rows == again and torch.equal(torch.random.get_rng_state(), before)
    whole = counted(TINY_RESNET, 64, "pycls", 3)
    assert summed(rows[:-1]) == summed(whole[:-1]), "the backbone is what it is on meta"
    module = build("heads", head, channels=[16, 32, 64], strides=[2, 4, 8], classes=3)
    maps = [torch.zeros(1, c, 64 // s, 64 // s) for c, s in ((16, 2), (32, 4), (64, 8))]
    total, hooks = [0], []

    def add(layer, inputs, output):
        each = layer.weight[0].numel() + (layer.bias is not None)
        total[0] += each * output.numel()

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(add))
    module.eval()(maps)
    assert rows[-1]["flops"] == total[0] > 0
    assert rows[-1]["params"] == sum(p.numel() for p in module.parameters())
