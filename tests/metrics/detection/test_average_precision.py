"""What must hold of every average precision, whatever is found; and the naive rule beside it."""

import itertools

import numpy as np
import pytest
import torch

from engine.core.build import build
from metrics.ap_fixed import APFixed
from metrics.ap_pool import APPool
from metrics.coco_ap import CocoAP
from metrics.lvis_ap import LvisAP
from metrics.uvo_ar import UvoAR
from tests.metrics.batches import part
from tests.metrics.drawn_objects import drawn_objects

NAMES = ("coco_ap", "uvo_ar", "lvis_ap", "ap_fixed", "ap_pool")
SHAPES = ("boxes", "masks", "keypoints")
EVERY = [*itertools.product(NAMES, SHAPES[:2]), ("coco_ap", "keypoints")]


def fed(metric, given: dict, true: dict):
    metric.update(given, true)
    return metric


def made(name: str, of: str):
    return build("metrics", {"name": name, "of": of})


def empty(rows: list[torch.Tensor]) -> list[torch.Tensor]:
    """As many images, none of which has anything."""
    return [row[:0] for row in rows]


@pytest.mark.parametrize(("name", "of"), EVERY)
def test_all_found_is_100_nothing_found_is_0_and_nothing_to_find_is_minus_1(name, of):
    _, true = drawn_objects(12)
    scores = [torch.rand(len(boxes)) for boxes in true["boxes"]]
    metric = fed(made(name, of), true | {"box_score": scores}, true)
    assert metric.compute()[metric.headline] == pytest.approx(100)
    none = {key: empty(true[key]) for key in SHAPES}
    none["box_label"] = none["box_score"] = [torch.zeros(0, dtype=torch.int64)] * 12
    metric = fed(made(name, of), none, true)
    assert metric.compute()[metric.headline] == 0
    both = fed(made(name, of), none, none), fed(made(name, of), true | {"box_score": scores}, none)
    for metric in both:
        assert metric.compute()[metric.headline] == -1
        assert metric.resampled() is None and len(metric.picture().series) == 3


def test_classes_do_not_matter_to_uvo():
    given, true = drawn_objects()
    expected = fed(UvoAR(), given, true).compute()
    for side in (given, true):
        side["box_label"] = [(labels * 7 + 3) % 5 for labels in side["box_label"]]
    assert fed(UvoAR(), given, true).compute() == expected
    given["box_label"] = [torch.zeros_like(labels) for labels in given["box_label"]]
    assert fed(UvoAR(), given, true).compute() == expected


@pytest.mark.parametrize("metric", [CocoAP(), UvoAR(), CocoAP(of="masks")])
def test_more_detections_never_lower_the_recall(metric):
    found = fed(metric, *drawn_objects(30, seed=4)).compute()
    assert 0 < found["ar1"] < found["ar10"] <= found["ar100"]


def test_scores_of_a_class_may_be_scaled_for_the_fixed_one_only():
    given, true = drawn_objects()
    scaled = dict(given)
    pairs = zip(given["box_score"], given["box_label"], strict=True)
    scaled["box_score"] = [scores / (1 + 9 * (labels == 1)) for scores, labels in pairs]
    same = APFixed(), CocoAP(), LvisAP()
    changed = LvisAP(per_image=2), APPool()
    for metric, alike in [(each, True) for each in same] + [(each, False) for each in changed]:
        options = {"per_image": 2} if metric.rule.per_image == 2 else {}
        expected = fed(type(metric)(**options), given, true).compute()["ap"]
        assert (fed(metric, scaled, true).compute()["ap"] == pytest.approx(expected)) == alike


def test_masks_may_be_pixels_or_run_lengths():
    given, true = drawn_objects(20)
    dense = fed(CocoAP(of="masks"), given, true)
    coded = [CocoAP(of="masks").shape.kept(masks) for masks in true["masks"]]
    assert isinstance(coded[0][0]["counts"], bytes)
    assert fed(CocoAP(of="masks"), given, true | {"masks": coded}).compute() == dense.compute()


def test_crowds_are_crowds_unless_classes_are_annotated_in_some_images_only():
    given, true = drawn_objects()
    without = {**true, "box_crowd": [torch.zeros_like(each) for each in true["box_crowd"]]}
    found = [fed(LvisAP(), given, each).compute()["ap"] for each in (true, without)]
    assert found[0] == found[1]
    for each in (true, without):
        del each["negative"]
    found = [fed(LvisAP(), given, each).compute()["ap"] for each in (true, without)]
    assert found[0] != found[1]


@pytest.mark.parametrize("metric", [CocoAP, UvoAR, APPool])
def test_a_resample_is_the_number_of_images_repeated(metric):
    given, true = drawn_objects(25, seed=2)
    whole = fed(metric(), given, true)
    weights = torch.from_numpy(np.random.default_rng(1).multinomial(25, np.full(25, 0.04), 6))
    found = whole.weighted(whole._found()[1], weights.numpy().astype(np.int32))
    for row, value in zip(weights, found, strict=True):
        rows = torch.arange(25).repeat_interleave(row)
        again = fed(metric(resamples=0), part(given, rows), part(true, rows))
        assert again.compute()[whole.headline] == pytest.approx(value, abs=1e-9)


def test_images_of_one_group_are_resampled_together():
    given, true = drawn_objects(30)
    alone = fed(CocoAP(), given, true).resampled()
    one = fed(CocoAP(), given, true | {"group": torch.full((30,), 7)}).resampled()
    assert one.std() == pytest.approx(0, abs=1e-9) and alone.std() > 1
    pairs = fed(CocoAP(), given, true | {"group": torch.arange(30) // 2}).resampled()
    assert not torch.equal(pairs, alone)


def naive_iou(one: list[float], other: list[float]) -> float:
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    if right <= left or bottom <= top:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    common = (right - left) * (bottom - top)
    return common / (sum(areas) - common)


def naive_pool(given: dict, true: dict, threshold: float, classes: list[int]) -> float:
    """One ranking of these classes' detections, right ones found pair by pair, one by one."""
    ranking, truths = [], 0
    for image, boxes in enumerate(true["boxes"]):
        absent, partial = (true[key][image].tolist() for key in ("negative", "not_exhaustive"))
        for label in classes:
            here = boxes[true["box_label"][image] == label].tolist()
            chosen = given["box_label"][image] == label
            found = given["boxes"][image][chosen].tolist()
            scores = given["box_score"][image][chosen].tolist()
            truths += len(here)
            if not here and label not in absent:
                continue
            for score, box in sorted(zip(scores, found, strict=True), reverse=True):
                best = max(here, key=lambda other, box=box: naive_iou(box, other), default=None)
                right = best is not None and naive_iou(box, best) >= threshold
                if right:
                    here.remove(best)
                if right or label not in partial:
                    ranking.append((score, right))
    if not truths:
        return -1.0
    hits, points = 0, []
    for place, (_, right) in enumerate(sorted(ranking, reverse=True), 1):
        hits += right
        points.append((hits / truths, hits / place))
    recalls = np.linspace(0, 1, 101)
    total = 0.0
    for recall in recalls:
        total += max([precision for reached, precision in points if reached >= recall], default=0)
    return 100 * total / len(recalls)


def test_the_pooled_one_is_that_of_a_naive_ranking():
    pools = {"ap": [0, 1, 2, 3], "ap_rare": [0], "ap_common": [1], "ap_frequent": [2, 3]}
    for seed in range(20):
        given, true = drawn_objects(8, seed)
        found = fed(APPool(resamples=0), given, true).compute()
        for name, classes in pools.items():
            each = [naive_pool(given, true, t, classes) for t in np.linspace(0.5, 0.95, 10)]
            assert found[name] == pytest.approx(np.mean(each)), (seed, name)


def test_rows_that_do_not_fit_are_told():
    given, true = drawn_objects(4)
    with pytest.raises(ValueError, match=r"predictions, image 2: \d boxes and 0 of box_score"):
        CocoAP().update(
            given | {"box_score": [*given["box_score"][:2], *[torch.zeros(0)] * 2]}, true
        )
    with pytest.raises(ValueError, match="targets of 3 images and predictions of 4: give a row"):
        CocoAP().update(given, {name: column[:3] for name, column in true.items()})
    with pytest.raises(ValueError, match=r"boxes of shape \(2, 3\): give one row x1 y1 x2 y2"):
        CocoAP().update(given | {"boxes": [torch.zeros(2, 3)] * 4}, true)
    with pytest.raises(ValueError, match=r"keypoints of shape \(2, 3, 3\): give .* 17 points"):
        CocoAP(of="keypoints").update(given | {"keypoints": [torch.zeros(2, 3, 3)] * 4}, true)


def test_numbers_may_be_of_any_kind():
    given, true = drawn_objects(12)
    expected = fed(CocoAP(), given, true).compute()
    given["box_label"] = [labels.to(torch.int32) for labels in given["box_label"]]
    given["box_score"] = [scores.clone().requires_grad_() for scores in given["box_score"]]
    true["box_label"] = [labels.bfloat16() for labels in true["box_label"]]
    assert fed(CocoAP(), given, true).compute() == expected


def test_what_is_no_number_is_told():
    given, true = drawn_objects(4)
    given["box_score"][1][0] = torch.nan
    with pytest.raises(
        ValueError, match=r"1 of 4 samples have a NaN among their scores \(rows 1\)"
    ):
        fed(CocoAP(), given, true).compute()
    given, true = drawn_objects(4)
    true["box_label"][2] = -true["box_label"][2] - 1
    with pytest.raises(ValueError, match=r"objects of class -\d: classes are counted from 0"):
        fed(CocoAP(), given, true).compute()
    given, true = drawn_objects(4)
    true["boxes"][3][:] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 4 samples have a NaN among their boxes \(rows 3\)"):
        fed(CocoAP(), given, true).compute()


def test_images_whose_objects_are_not_known_are_not_counted():
    given, true = drawn_objects(12)
    known = torch.arange(12) % 3 > 0
    found = fed(CocoAP(), given, true | {"boxes_known": known}).compute()
    assert found == fed(CocoAP(), part(given, known), part(true, known)).compute()
    with pytest.raises(ValueError, match="none of 12 samples is known: give samples with labels"):
        fed(CocoAP(), given, true | {"boxes_known": torch.zeros(12, dtype=torch.bool)}).compute()


def test_an_update_never_waits_for_the_device():
    given, true = drawn_objects(3)
    # on this device there are no values: whoever asks for one gets an error
    names = ("boxes", "box_label", "box_score", "box_crowd", "box_area")
    for side in (given, true):
        for name in side.keys() & set(names):
            side[name] = [each.to("meta") for each in side[name]]
    CocoAP().update(given, true)
