"""benchmarks.methods: its clock and arithmetic, and that the two sides do the same."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from benchmarks import methods
from benchmarks.methods import METHODS, OURS, PLAIN, Side, Timing, costs, sides, table, timing
from benchmarks.methods_sides import Clock, Trunk, objective
from models.blocks.augment.draws import Draws

BACKBONE = yaml.safe_load(Path("candidates/resnext.yaml").read_text())


def test_timing_is_per_second_of_both_kinds():
    found = {"seconds": 4.0, "processor": 2.0, "views": 1.0, "memory": 700.0}
    assert timing(found, 80) == Timing(20, 40, 0.25, 700)


def test_every_turn_leaves_its_first_steps_out_and_the_last_ends_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    network, steps = nn.Linear(2, 1), 0
    solver = torch.optim.SGD(network.parameters(), lr=0.1)
    clock = Clock(steps=3, warm=2)
    ticks = iter([(0.0, 0.0, 0.0), (3.0, 2.0, 1.0), (5.0, 5.0, 5.0), (9.0, 8.0, 7.0)])
    monkeypatch.setattr(clock, "now", lambda: next(ticks))
    with pytest.raises(SystemExit):
        for steps in range(1, 99):  # noqa: B007
            network(torch.ones(1, 2)).sum().backward()
            solver.step()
    clock.hook.remove()
    # one that sets up, and two turns
    assert steps == 1 + 2 * (2 + 3)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [turn["seconds"] for turn in said] == [3, 4] and said[1]["views"] == 2
    assert [turn["processor"] for turn in said] == [2, 3] and said[0]["memory"] > 50


def timings() -> dict[str, methods.Timings]:
    """Three rounds of one method."""
    rates = {
        Side(OURS, PLAIN): [100.0, 10.0, 60.0],
        Side(OURS, "dino"): [50.0, 4.0, 20.0],
        Side("lightly", "dino"): [25.0, 1.0, 20.0],
    }
    found: methods.Timings = {}
    for side, values in rates.items():
        found[side] = [Timing(rate, 2 * rate, 0.25, 700 + rate) for rate in values]
    return {"dino": found}


def test_ratios_are_those_within_rounds():
    _, _, line = table(timings(), workers=0)
    ratio = "2.00 (1.00 to 4.00)"
    assert line == f"| dino | 2 + 8 small | 20 | 20 | {ratio} | {ratio} | 25% | 25% | 750 | 725 |"
    *_, line, plain = costs(timings())
    assert line == "| dino | 2 + 8 small | 20 | 2.50 (2.00 to 3.00) | 25% |"
    assert plain == "| supervised | 1 | 60 | 1 | 25% |"


def test_a_method_is_compared_with_lightly_and_with_supervised_training():
    assert sides("moco", [0, 1]) == [
        Side(OURS, PLAIN),
        Side(OURS, "moco"),
        Side("lightly", "moco", 0),
        Side("lightly", "moco", 1),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_both_sides_train_as_much_on_as_many_views(name):
    pytest.importorskip("lightly.transforms", reason="lightly is not installed: make peers")
    from benchmarks.methods_lightly import PEERS

    options = METHODS[name]
    ours = objective({"backbone": BACKBONE, "method": name, "options": options})
    trunk = objective({"backbone": BACKBONE, "method": PLAIN, "options": {}}).backbone
    peer = PEERS[name](Trunk(trunk), trunk.channels[-1], options)
    counts = []
    for side in (ours, peer):
        trained = (each for each in side.parameters() if each.requires_grad)
        counts.append(sum(each.numel() for each in trained))
    # some layers have a bias on one side only
    assert counts[0] == pytest.approx(counts[1], rel=0.01)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    made = ours.views({"image": torch.from_numpy(pixels)}, Draws(torch.Generator().manual_seed(0)))
    views = [*made["image"].unbind(1), *made["small"].unbind(1)] if "small" in made else []
    views = views or made["image"].unbind(1)
    transform = PEERS[name].transform(32)
    others = zip(*(transform(Image.fromarray(each)) for each in pixels), strict=True)
    others = [torch.stack(view) for view in others]
    assert [view.shape for view in views] == [view.shape for view in others]
    loss = peer.train().loss(others)
    loss.sum().backward()
    assert loss.isfinite().all() and peer.trunk.backbone.stem[0].weight.grad.abs().sum() > 0


def test_the_quick_form_prints_its_tables(capsys, tmp_path):
    pytest.importorskip("lightly.transforms", reason="lightly is not installed: make peers")
    methods.main(["--quick", "--methods", "simclr", "--packs", str(tmp_path)])
    said = capsys.readouterr().out
    assert said.count("\n| simclr | 2 |") == 2 and "32 random images of 32 px" in said
