"""The study of PointRend: equal costs, and what its tables say."""

import pytest
import torch

from benchmarks.mask_studies import BACKBONE
from benchmarks.pointrend import CONTROLS, HEADS, IN_BOXES, flops, in_true_boxes, table
from engine.core.network import network
from tests.support.scenes import NAMES, Scenes


def made(name: str) -> torch.nn.Module:
    objective, head = HEADS[name]
    return network(BACKBONE, {"name": objective}, head, classes=len(NAMES), names=NAMES)


@pytest.mark.parametrize(("name", "control"), CONTROLS.items())
def test_a_head_costs_no_more_than_its_control(name, control):
    assert 0.6 < flops(made(name)) / flops(made(control)) < 1.02


def test_outlines_in_true_boxes_are_measured_against_the_true_ones():
    module = made("Mask R-CNN, 28 x 28")
    samples = Scenes(3).reading({name: {} for name in ("image", "boxes", "box_label", "masks")})
    samples.reads["box_crowd"] = {}

    class Whole(torch.nn.Module):
        """Each object fills its box."""

        def masks(self, pyramid, boxes, labels, box_head):
            return [torch.ones(len(own), 8, 8) for own in boxes]

    module.head.mask = Whole()
    found = in_true_boxes(module, samples)
    assert 20 < found < 90, "right where an object is a box, along its border elsewhere"


def test_a_gain_is_told_against_the_control_of_the_seed():
    rows = []
    for seed in range(3):
        for name, ahead in (("Mask R-CNN, 28 x 28", 0), ("PointRend, 112 x 112", 2)):
            found = {"mask AP": 10.0 * seed + ahead, IN_BOXES: 50.0 - ahead}
            rows.append({"name": name, "seed": seed, "found": found, "flops": 4.0})
    lines = table(rows)
    assert lines[-1] == "| gain | | +2.0 ± 0.0: shows | -2.0 ± 0.0: the opposite shows |"
