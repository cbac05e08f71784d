"""The study of Mask^X: which classes are shown masks, whose are measured, what its table says."""

import pytest
import torch

from benchmarks.mask_studies import BACKBONE
from benchmarks.mask_x import (
    ARMS,
    CONTROLS,
    HEAD,
    NEVER,
    OBJECTIVE,
    QUICK,
    SHOWN,
    Of,
    answer,
    in_true_boxes,
    measured,
    shown_of,
    table,
    wanted,
)
from corpus.drawn.concepts import SHAPES
from engine.core.network import network
from metrics.coco_ap import CocoAP
from tests.support.scenes import NAMES, Scenes

COLUMNS = ("image", "boxes", "box_label", "box_crowd", "box_ignore", "box_area", "masks", "sides")
COLUMNS += ("masks_known",)


def made(**settings) -> torch.nn.Module:
    torch.manual_seed(0)
    return network(BACKBONE, OBJECTIVE, HEAD | settings, classes=len(NAMES), names=NAMES)


def test_each_seed_shows_masks_of_half_of_the_classes():
    draws = {tuple(shown_of(seed)) for seed in range(6)}
    assert len(draws) > 3 and all(len(draw) == 5 and set(draw) < set(SHAPES) for draw in draws)
    runs = [one for _, one in wanted(QUICK._replace(seeds=2))]
    assert len(runs) == 2 * len(ARMS)
    for one in runs:
        everything = one["name"].endswith("all masks")
        assert one["head"]["masks_of"] == (None if everything else shown_of(one["seed"]))
        assert one["head"].get("agnostic", False) == (one["name"] in CONTROLS.values())


def test_a_metric_of_some_classes_sees_no_other():
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 4, 16, 16], [2, 2, 6, 12]])
    labels = torch.tensor([0, 1, 2])
    none = torch.zeros(3, dtype=torch.bool)
    truth = {"boxes": [boxes], "box_label": [labels], "box_crowd": [none], "box_ignore": [none]}
    truth["box_area"] = [torch.tensor([64.0, 144, 40]).double()]
    right = {"boxes": [boxes], "box_label": [labels], "box_score": [torch.tensor([0.9, 0.8, 0.7])]}
    right["boxes"] = [boxes + torch.tensor([[0.0], [0], [30]])]  # of class 2 it is elsewhere
    for classes, wanted_ap in (([0, 1], 100.0), ([2], 0.0), ([1, 2], 50.0)):
        metric = Of(CocoAP(resamples=0), torch.tensor(classes))
        metric.update(right, truth)
        assert metric.metric.compute()["ap"] == pytest.approx(wanted_ap)


def test_masks_are_measured_by_whether_their_class_was_shown_any():
    samples, module = Scenes(6).reading({name: {} for name in COLUMNS}), made()

    class True_(torch.nn.Module):
        """Masks that fill their box where the class is of even number, and none elsewhere."""

        def masks(self, pyramid, boxes, labels, box_head):
            pairs = zip(boxes, labels, strict=True)
            return [(own % 2 == 0).float()[:, None, None].expand(-1, 8, 8) for _, own in pairs]

    module.head.mask = True_()
    ious, labels = in_true_boxes(module, samples)
    assert (ious[labels % 2 == 0] > 0.2).all() and (ious[labels % 2 == 1] == 0).all()
    even = [name for place, name in enumerate(NAMES) if place % 2 == 0]
    found = measured(module, samples, NAMES, even)
    assert found[f"IoU in true boxes, {SHOWN}"] > 20 and found["box AP"] >= 0
    assert found[f"IoU in true boxes, {NEVER}"] == 0 == found[f"mask AP, {NEVER}"]


def test_a_gain_is_told_against_the_control_of_the_seed():
    rows = []
    for seed in range(3):
        for place, name in enumerate(ARMS):
            found = {f"mask AP, {NEVER}": 10.0 * seed + (3 if name == "Mask^X" else 0)}
            rows.append({"name": name, "seed": seed, "found": found, "weights": 10 + place})
    lines = table(rows)
    assert lines[-1] == "| Mask^X, gain | | +3.0 ± 0.0: shows |"
    assert "its control: shows (+3.0 ± 0.0 points" in answer(rows)
