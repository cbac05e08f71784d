"""What became of detections: each kind by hand, and numbers that COCO's rule gives too."""

import numpy as np
import pytest
import torch

from flows.measuring.objectdetails import ObjectDetails, missed_from, with_runs
from flows.measuring.verdicts import (
    BACKGROUND,
    BOTH,
    CLASS,
    DUPLICATE,
    FOUND,
    IGNORED,
    PLACED,
    Scene,
    judged,
    taken_for,
)
from metrics.coco_ap import CocoAP
from tests.metrics.drawn_objects import CLASSES, drawn_objects

TRUE = [0, 1, 0]  # the last one is a crowd
# a detection each: its class, its overlaps with the three, what becomes of it, of which object
CASES = [
    (0, (0.9, 0.0, 0.0), FOUND, 0),
    (0, (0.6, 0.0, 0.0), DUPLICATE, 0),
    (0, (0.3, 0.0, 0.0), PLACED, 0),
    (0, (0.1, 0.0, 0.0), PLACED, 0),
    (0, (0.0, 0.7, 0.0), CLASS, 1),
    (0, (0.3, 0.7, 0.0), PLACED, 0),
    (0, (0.6, 0.7, 0.0), CLASS, 1),
    (1, (0.4, 0.0, 0.0), BOTH, -1),
    (2, (0.0, 0.4, 0.0), BOTH, -1),
    (2, (0.09, 0.09, 0.0), BACKGROUND, -1),
    (0, (0.0, 0.0, 0.8), IGNORED, -1),
    (1, (0.0, 0.0, 0.8), BACKGROUND, -1),
    (0, (0.2, 0.0, 0.5), IGNORED, -1),
]


def cut(columns: dict, part: slice) -> dict:
    return {name: column[part] for name, column in columns.items()}


def scene(rows) -> Scene:
    ious = np.array([row[1] for row in rows]).reshape(len(rows), len(TRUE))
    labels = np.array([row[0] for row in rows], int)
    scores = np.linspace(1, 0.5, len(rows))
    return Scene(ious, labels, scores, np.array(TRUE), np.array([False, False, True]))


def test_each_kind_of_error_is_told():
    found = judged(scene(CASES))
    assert found.kind.tolist() == [kind for *_, kind, _ in CASES]
    assert found.owner.tolist() == [owner for *_, owner in CASES]
    assert found.missed.tolist() == [False, True, False]


def test_without_detections_or_objects_nothing_breaks():
    none = judged(scene([]))
    assert none.missed.tolist() == [True, True, False] and not len(none.kind)
    flags = np.zeros(0, bool)
    empty = Scene(np.zeros((2, 0)), np.zeros(2, int), np.ones(2), np.zeros(0, int), flags)
    assert judged(empty).kind.tolist() == [BACKGROUND] * 2
    assert taken_for(empty, 0.5).tolist() == [[-1, 0], [-1, 0]]
    assert taken_for(scene([]), 0.5).tolist() == [[0, -1], [1, -1]]


def test_objects_are_taken_for_the_surest_detection_on_them_whatever_its_class():
    rows = [(1, (0.6, 0.0, 0.0)), (0, (0.9, 0.0, 0.0)), (2, (0.0, 0.4, 0.0)), (2, (0, 0, 0.6))]
    # the second one comes too late, the fourth lies on a crowd
    assert taken_for(scene(rows), 0.0).tolist() == [[0, 1], [-1, 0], [-1, 2], [1, -1]]
    # below the least score there is nothing but what is missed
    assert taken_for(scene(rows), 1.1).tolist() == [[0, -1], [1, -1]]


@pytest.mark.parametrize("by", ["boxes", "masks"])
def test_found_and_wrong_add_up_as_cocos_rule_has_them(by):
    """Precision at the last recall, and the recall itself, are those of COCO at 0.5."""
    given, true = drawn_objects(40)
    metric = CocoAP(by, resamples=0)
    details = ObjectDetails(by)
    for first in range(0, 40, 16):
        part = slice(first, first + 16)
        sides = [cut(each, part) for each in (given, true)]
        metric.update(*sides)
        names = [str(row) for row in range(first, min(40, first + 16))]
        details.add(names, *map(with_runs, sides))
    counts = metric._found()[1].counts
    errors = details.errors(0.0)
    assert errors["found"] == sum(int(each.true[0].sum()) for each in counts)
    wrong = sum(errors.values()) - errors["found"] - errors["missed"] - errors["ignored"]
    assert wrong + errors["found"] == sum(int(each.counted[0].sum()) for each in counts)
    objects = sum(len(each.truth_image) for each in counts)
    assert errors["found"] + errors["missed"] == objects
    whole = details.confusion(0.0, CLASSES)
    assert whole[:CLASSES].sum() == objects and whole.shape == (CLASSES + 1,) * 2
    # at the chosen score F1 is the highest of all scores
    scores, right, total = details.ranking()
    f1 = [2 * right[scores >= s].sum() / ((scores >= s).sum() + total) for s in scores]
    assert details.least() == scores[int(np.argmax(f1))]
    missed = sum(missed_from(one, details.least()).sum() for one in details.images)
    assert missed == details.errors(details.least())["missed"]


def test_calibration_of_scores_that_are_shares_of_right_ones_has_no_error():
    details, none = ObjectDetails("boxes"), np.zeros((1, 4))
    for score, hits in ((0.5, 2), (0.75, 3)):
        for place in range(4):
            true = torch.tensor([[0.0, 0, 9, 9]]) if place < hits else torch.from_numpy(none)[:0]
            given = {"boxes": [torch.tensor([[0.0, 0, 9, 9]])], "box_label": [torch.tensor([0])]}
            given["box_score"] = [torch.tensor([score])]
            labels = torch.zeros(len(true), dtype=torch.int64)
            details.add(["x"], given, {"boxes": [true], "box_label": [labels]})
    found = details.calibration()
    assert found["error"] == pytest.approx(0) and found["count"] == [4, 4]
    assert found["score"] == found["right"] == [50.0, 75.0]
    told = details.told(1)
    assert told["ap_fixed"] == told["ap_pool"] and told["found_per_image"] == 1
