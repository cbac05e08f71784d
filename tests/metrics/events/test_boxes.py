"""VOC AP and AVA's frame mAP: against the devkit's rule written anew, and AVA's own evaluation."""

import numpy as np
import pytest
import torch

from metrics.blocks.bootstrap import resamples
from metrics.blocks.detection import voc
from metrics.frame_map import FrameMAP
from metrics.voc_ap import VocAP
from tests.metrics.batches import part
from tests.metrics.events.references import ava

CASES, CLASSES = 200, 3


def case(seed: int, integer: bool = True):
    """(predictions, targets) of a few images: many ties, overlaps of exactly one half, crowding."""
    rng = np.random.default_rng(seed)
    given = {"boxes": [], "box_label": [], "box_score": []}
    true = {"boxes": [], "box_label": [], "box_ignore": []}
    for _ in range(rng.integers(1, 6)):
        for columns, many in ((true, rng.integers(0, 5)), (given, rng.integers(0, 7))):
            corner = rng.integers(0, 6, (many, 2))
            boxes = np.concatenate([corner, corner + rng.integers(1, 8, (many, 2))], 1).astype(
                float
            )
            columns["boxes"].append(torch.tensor(boxes if integer else boxes / 14))
            columns["box_label"].append(torch.tensor(rng.integers(0, CLASSES, many)))
        scores = rng.random(many)
        # half of the cases have scores that are equal often
        scores = scores.round(1) if seed % 2 else scores
        given["box_score"].append(torch.tensor(np.sort(scores)[::-1].copy()))
        true["box_ignore"].append(torch.tensor(rng.random(len(true["boxes"][-1])) < 0.2))
    return given, true


def overlap(a: list, b: list, more: float) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + more
    high = min(a[3], b[3]) - max(a[1], b[1]) + more
    if wide <= 0 or high <= 0:
        return -1.0
    areas = [(each[2] - each[0] + more) * (each[3] - each[1] + more) for each in (a, b)]
    return wide * high / (sum(areas) - wide * high)


def judged(given: dict, true: dict, label: int, order, more: float) -> tuple[list, int]:
    """VOCevaldet.m as it is written: which detections are hits, from the highest score on."""
    found, todo = [], 0
    boxes = []
    for boxed, labels, ignored in zip(*true.values(), strict=True):
        some = [n for n in range(len(labels)) if labels[n] == label]
        boxes.append([[boxed[n].tolist(), bool(ignored[n]), False] for n in some])
        todo += sum(not ignored[n] for n in some)
    detections = []
    for image, (boxed, labels, scores) in enumerate(zip(*given.values(), strict=True)):
        for n in range(len(labels)):
            if labels[n] == label and (more or (boxed[n, :2] < boxed[n, 2:]).all()):
                detections.append((image, boxed[n].tolist(), float(scores[n])))
    for n in order(np.array([each[2] for each in detections])):
        image, box, _ = detections[n]
        best, most = None, -np.inf
        for each in boxes[image]:
            if overlap(box, each[0], more) > most:
                best, most = each, overlap(box, each[0], more)
        if most < 0.5:
            found.append(False)
        elif not best[1]:
            found.append(not best[2])
            best[2] = True
    return found, todo


def average(found: list, todo: int, eleven: bool) -> float:
    """VOCap.m, and the eleven points of 2007, over whole numbers of hits."""
    points, total = [(0, 0.0)], 0.0
    for n in range(len(found)):
        points.append((sum(found[: n + 1]), sum(found[: n + 1]) / (n + 1)))
    if eleven:
        for tenth in range(11):
            reached = [precision for hit, precision in points if 10 * hit >= tenth * todo]
            total += max(reached, default=0) / 11
        return total
    for hit in range(1, points[-1][0] + 1):
        total += max(p for count, p in points if count >= hit) / todo
    return total


def naive(given: dict, true: dict, order, more: float, eleven: bool = False) -> list[float]:
    """Average precisions of the classes that have anything to be found, in percent."""
    found = [judged(given, true, label, order, more) for label in range(CLASSES)]
    return [100 * average(hits, todo, eleven) for hits, todo in found if todo]


def stable(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")


def unstable(scores: np.ndarray) -> np.ndarray:
    return scores.argsort()[::-1]


@pytest.mark.parametrize("definition", ["area", "voc2007"])
def test_voc_is_the_devkit_rule(definition):
    compared = 0
    for seed in range(CASES):
        given, true = case(seed)
        expected = naive(given, true, stable, 1.0, definition == "voc2007")
        if not expected:
            continue
        metric = VocAP(definition, resamples=0)
        metric.update(given, true)
        assert [row["ap"] for row in metric.rows()] == pytest.approx(expected, abs=1e-9), seed
        assert metric.compute()["voc_ap"] == pytest.approx(np.mean(expected), abs=1e-9)
        compared += 1
    assert compared > 180


def test_ava_is_the_same_rule_without_the_pixel_more():
    for seed in range(CASES):
        given, true = case(seed, integer=False)
        true = {name: column for name, column in true.items() if name != "box_ignore"}
        none = {**true, "box_ignore": [torch.zeros(len(row)) for row in true["boxes"]]}
        expected = naive(given, none, unstable, 0.0)
        if expected:
            metric = FrameMAP(resamples=0)
            metric.update(given, true)
            assert [row["ap"] for row in metric.rows()] == pytest.approx(expected, abs=1e-9), seed


def test_ava_is_the_authors_evaluation():
    modules = ava()
    fields = modules["standard_fields"]
    categories = [{"id": label + 1, "name": str(label)} for label in range(CLASSES)]
    for seed in range(CASES):
        given, true = case(seed, integer=False)
        whole = modules["object_detection_evaluation"].PascalDetectionEvaluator(categories)
        for image, (boxes, labels) in enumerate(zip(true["boxes"], true["box_label"], strict=True)):
            entry = fields.InputDataFields
            shown = {
                entry.groundtruth_boxes: boxes.numpy()[:, [1, 0, 3, 2]],
                entry.groundtruth_classes: labels.numpy() + 1,
                entry.groundtruth_difficult: np.zeros(len(labels), bool),
            }
            whole.add_single_ground_truth_image_info(image, shown)
        for image, (boxes, labels, scores) in enumerate(zip(*given.values(), strict=True)):
            entry = fields.DetectionResultFields
            shown = {
                entry.detection_boxes: boxes.numpy()[:, [1, 0, 3, 2]],
                entry.detection_classes: labels.numpy() + 1,
                entry.detection_scores: scores.numpy(),
            }
            whole.add_single_detected_image_info(image, shown)
        if not any(map(len, true["boxes"])):
            continue
        expected = whole.evaluate()
        metric = FrameMAP(resamples=0)
        metric.update(given, {name: true[name] for name in ("boxes", "box_label")})
        key = "PascalBoxes_Precision/mAP@0.5IOU"
        assert metric.compute()["frame_map"] == pytest.approx(100 * expected[key], abs=1e-9), seed


@pytest.mark.parametrize("made", [VocAP, FrameMAP])
def test_perfect_is_100_nothing_found_is_0_and_no_truth_is_told(made):
    _, true = case(3)
    perfect = {**true, "box_score": [torch.ones(len(row)) for row in true["boxes"]]}
    nothing = {
        "boxes": [torch.zeros(0, 4)] * len(true["boxes"]),
        "box_label": [torch.zeros(0, dtype=torch.int64)] * len(true["boxes"]),
        "box_score": [torch.zeros(0)] * len(true["boxes"]),
    }
    for given, value in ((perfect, 100), (nothing, 0)):
        metric = made()
        metric.update(given, true)
        found = metric.compute()
        assert found[made.headline] == value
        assert (found[f"{made.headline}_low"], found[f"{made.headline}_high"]) == (value, value)
    metric = made()
    metric.update(perfect, nothing)
    with pytest.raises(ValueError, match=r"none of \d samples has anything to be found"):
        metric.compute()


def test_by_hand_with_a_difficult_object_and_one_found_twice():
    true = {
        "boxes": [
            torch.tensor([[1.0, 1, 10, 10], [21, 1, 30, 10]]),
            torch.tensor([[1.0, 1, 4, 4]]),
        ],
        "box_label": [torch.tensor([0, 0]), torch.tensor([0])],
        "box_ignore": [torch.tensor([False, True]), torch.tensor([False])],
    }
    given = {
        # the true one, the difficult one, the true one again; one of which half of 16 is covered
        "boxes": [true["boxes"][0][[0, 1, 0]], torch.tensor([[1.0, 1, 4, 2]])],
        "box_label": [torch.zeros(3, dtype=torch.int64), torch.tensor([0])],
        "box_score": [torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0.6])],
    }
    metric = VocAP(resamples=0)
    metric.update(given, true)
    # hit, false, hit: precisions 1 at a recall of a half and 2/3 at 1
    assert metric.compute()["voc_ap"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert metric.rows()[0] | {"ap": 0} == {"class": 0, "true": 2, "given": 3, "hits": 2, "ap": 0}
    frames = FrameMAP(resamples=0)
    frames.update(given, true)
    # all are to be found, and without the pixel more a third of the last one is covered
    assert frames.compute()["frame_map"] == pytest.approx(100 * (1 + 1) / 3)


@pytest.mark.parametrize("made", [VocAP, FrameMAP])
def test_the_interval_is_that_of_images_drawn_again(made):
    """Weights give what images that are there several times give; groups are drawn whole."""
    given, true = case(40)
    # without equal scores, whose order in a resample is another one
    for seed in range(42, 56, 2):
        more, others = case(seed)
        given = {name: [*column, *more[name]] for name, column in given.items()}
        true = {name: [*column, *others[name]] for name, column in true.items()}
    group = torch.arange(len(true["boxes"])) // 2
    metric = made(resamples=100)
    metric.update(given, {**true, "group": group})
    slow = []
    for counts in np.concatenate(list(resamples(int(group[-1]) + 1, 100)), 1).T:
        rows = torch.arange(len(group)).repeat_interleave(torch.tensor(counts)[group].long())
        again = made(resamples=0)
        again.update(part(given, rows), part(true, rows))
        slow.append(again.compute()[made.headline])
    headline = metric.compute()[made.headline]
    values = np.array(slow) - np.mean(slow) + headline
    assert metric.resampled().numpy() == pytest.approx(values, abs=1e-3)


def test_what_is_wrong_is_told():
    given, true = case(5)
    nan = [row.clone() for row in given["box_score"]]
    place = next(row for row, scores in enumerate(nan) if len(scores))
    nan[place][0] = torch.nan
    for broken, message in (
        ({"box_score": nan}, rf"1 of \d samples have a score that is NaN \(rows {place}\)"),
        ({"box_score": given["box_score"][:-1]}, "differ in their number of samples"),
        ({"box_label": [row[1:] for row in given["box_label"]]}, "another number of predicted"),
        ({"boxes": [row[:, :3] for row in given["boxes"]]}, r"shape \(\d, 3\), give \(m, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            metric = VocAP()
            metric.update(given | broken, true)
            metric.compute()
    turned = [row[:, [2, 3, 0, 1]] for row in true["boxes"]]
    metric = FrameMAP()
    metric.update(given, true | {"boxes": turned})
    with pytest.raises(ValueError, match=r"end is before its start.*not x y width height"):
        metric.compute()
    metric = VocAP()
    metric.update(given, true)
    metric.update(given, {name: true[name] for name in ("boxes", "box_label")})
    with pytest.raises(ValueError, match="some updates of a metric have true_ignore and others"):
        metric.compute()


def test_many_boxes_in_one_image_are_compared_in_parts(monkeypatch):
    given, true = case(9)
    expected = VocAP(resamples=0)
    expected.update(given, true)
    monkeypatch.setattr(voc, "HELD", 3)
    found = VocAP(resamples=0)
    found.update(given, true)
    assert found.rows() == expected.rows()
