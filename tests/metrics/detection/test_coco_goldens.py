"""Numbers known of public annotations: COCO's fake results of 100 images, LVIS's 100 of val.

Those of COCO are in cocodataset/cocoapi, results/val2014_fake_eval_res.txt, to three digits, and
here as its evaluation gives them; those of LVIS are of detections that a rule makes of annotations,
as lvis 0.5.3 and achalddave/large-vocab-devil count them.
"""

import json
import os
from pathlib import Path

import pytest

from metrics.ap_fixed import APFixed
from metrics.ap_pool import APPool
from metrics.coco_ap import CocoAP
from metrics.formats.coco import read
from metrics.lvis_ap import LvisAP
from metrics.uvo_ar import UvoAR

TRUTH = "MiXaiLL76/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json"
RESULTS = "cocodataset/cocoapi/results/instances_val2014_fake{}100_results.json"
LVIS = "lvis-dataset/lvis-api/data/lvis_val_100.json"
# AP, AP50, AP75, small, medium, large; AR of 1, 10, 100, small, medium, large
COCO = {
    "boxes": (
        *(50.4580699, 69.6972725, 57.2981667, 58.5625721, 51.9399695, 50.1397899),
        *(38.6812780, 59.3679576, 59.5352983, 63.9810963, 56.6420598, 56.4290598),
    ),
    "masks": (
        *(31.9545276, 56.2288397, 29.8926534, 38.7374033, 31.0182724, 32.6933907),
        *(26.8229723, 41.5448681, 41.6839499, 46.9449862, 37.6759227, 38.1471510),
    ),
}
NUMBERS = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
FILES = {"boxes": "bbox", "masks": "segm"}


def reference(path: str) -> Path:
    """A file of the references; the test is skipped where there are none."""
    folder = os.environ.get("METRICS_REFERENCES")
    if not folder:
        pytest.skip("METRICS_REFERENCES names no folder with the references' repositories")
    return Path(folder, path)


def computed(metric, predictions: Path, targets: Path) -> dict[str, float]:
    pair = read(predictions, targets, metric.reads)
    metric.update(pair.predictions, pair.targets)
    return metric.compute()


@pytest.mark.parametrize("of", FILES)
def test_coco_of_the_fake_results(of):
    files = reference(RESULTS.format(FILES[of])), reference(TRUTH)
    found = computed(CocoAP(of=of), *files)
    assert [found[name] for name in NUMBERS] == pytest.approx(COCO[of], abs=1e-6)
    assert (found["samples"], found["classes"], found["detections"]) == (100, 70, 734)


def test_uvo_of_the_fake_results():
    found = computed(UvoAR(), reference(RESULTS.format("bbox")), reference(TRUTH))
    assert (found["ap"], found["ar100"]) == pytest.approx((59.5238, 67.8072), abs=1e-4)
    found = computed(UvoAR(of="masks"), reference(RESULTS.format("segm")), reference(TRUTH))
    names = ("ap", "ap50", "ar1", "ar10", "ar100")
    expected = (32.4852, 68.8749, 5.8795, 35.5422, 48.1807)
    assert [found[name] for name in names] == pytest.approx(expected, abs=1e-4)


def ruled(annotations: list[dict], categories: list[int]) -> list[dict]:
    """Detections made of annotations: moved, of the next class, beside."""
    after = dict(zip(categories, [*categories[1:], categories[0]], strict=True))
    found = []
    for row in sorted(annotations, key=lambda row: row["id"]):
        key, (x, y, w, h) = row["id"], row["bbox"]
        share = (key * 2654435761 % 2**32) / 2**32
        near = [x + 0.1 * w * (key % 5 - 2) / 2, y + 0.08 * h * (key % 3 - 1), w, h]
        own, other = row["category_id"], after[row["category_id"]]
        made = [
            (key % 7 != 0, near, own, 0.3 + 0.7 * share),
            (key % 5 == 0, [x, y, w, h], other, 0.6 * share),
            (key % 2 == 0, [x + w, y, w, h], own, 0.8 * (1 - share)),
        ]
        for wanted, box, category, score in made:
            named = {"image_id": row["image_id"], "category_id": category}
            found += [named | {"bbox": box, "score": round(score, 6)}] * wanted
    return found


@pytest.fixture(scope="module")
def lvis(tmp_path_factory) -> dict[str, Path]:
    """The truth, its detections by rule, and these with the scores of odd categories lowered."""
    truth = reference(LVIS)
    told = json.loads(truth.read_text())
    found = ruled(told["annotations"], sorted(row["id"] for row in told["categories"]))
    assert len(found) == 1521
    scaled = [
        row | {"score": row["score"] * (0.2 if row["category_id"] % 2 else 1)} for row in found
    ]
    folder = tmp_path_factory.mktemp("lvis")
    files = {"truth": truth, "found": folder / "found.json", "scaled": folder / "scaled.json"}
    for name, rows in (("found", found), ("scaled", scaled)):
        files[name].write_text(json.dumps(rows))
    return files


@pytest.mark.parametrize(
    ("metric", "options", "expected"),
    [
        (LvisAP, {}, {"ap": 51.3936, "ap50": 79.1387, "ap_rare": 25.0, "ap_common": 50.9856}),
        (LvisAP, {}, {"ap_frequent": 51.6366}),
        (LvisAP, {"per_image": 10}, {"ap": 38.0098}),
        (APFixed, {}, {"ap": 51.3936}),
        (APFixed, {"dets_per_class": 1}, {"ap": 28.1329}),
        (APFixed, {"dets_per_class": 3}, {"ap": 41.3027}),
        (APPool, {}, {"ap": 46.0705, "ap_rare": 25.0, "ap_common": 47.8209}),
        (APPool, {}, {"ap_frequent": 46.2270}),
    ],
)
def test_lvis_of_detections_by_rule(lvis, metric, options, expected):
    found = computed(metric(**options), lvis["found"], lvis["truth"])
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-4)


def test_scores_scaled_by_class_change_all_but_the_fixed_one(lvis):
    """The point of the paper: section 3 and 5."""
    metrics = (APFixed(), LvisAP(per_image=10), APPool())
    found = [computed(metric, lvis["scaled"], lvis["truth"])["ap"] for metric in metrics]
    assert found == pytest.approx([51.3936, 35.5519, 41.7630], abs=1e-4)
