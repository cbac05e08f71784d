"""The same numbers as pycocotools and faster-coco-eval on many small files, to rounding."""

import contextlib
import copy
import io

import numpy as np
import pytest
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from metrics.coco_ap import CocoAP
from metrics.formats.coco import read
from metrics.lvis_ap import LvisAP
from metrics.uvo_ar import UvoAR
from tests.metrics.detection.cases import case, written

DETECTION = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
PEOPLE = (
    *("ap", "ap50", "ap75", "ap_medium", "ap_large"),
    *("ar20", "ar20_at50", "ar20_at75", "ar_medium", "ar_large"),
)
SHAPES = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}
CASES = 200


def evaluated(truth: dict, results: list[dict], kind: str, classes: bool = True) -> COCOeval:
    """What pycocotools has of these files; it reads no empty results, but counts them."""
    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO()
        true.dataset = copy.deepcopy(truth)
        true.createIndex()
        found = true.loadRes(copy.deepcopy(results)) if results else COCO()
        evaluation = COCOeval(true, found, kind)
        if not results:
            found.dataset = {"images": truth["images"], "annotations": []}
            found.createIndex()
        evaluation.params.useCats = int(classes)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def fed(metric, files):
    pair = read(*files, metric.reads)
    metric.update(pair.predictions, pair.targets)
    return metric


def percents(stats: np.ndarray) -> list[float]:
    """In percent, -1 where there is nothing."""
    return np.where(stats < 0, -1, 100 * stats).tolist()


@pytest.mark.parametrize("of", SHAPES)
def test_coco_is_that_of_pycocotools(of, tmp_path):
    names = PEOPLE if of == "keypoints" else DETECTION
    for seed in range(CASES):
        truth, results = case(seed, of)
        expected = evaluated(truth, results, SHAPES[of])
        metric = fed(CocoAP(of=of, resamples=0), written(tmp_path, truth, results))
        found = metric.compute()
        assert [found[name] for name in names] == pytest.approx(percents(expected.stats)), seed
        curves = expected.eval["precision"][:, :, :, 0, -1]
        lines = {line.name: line.y for line in metric.picture().series}
        known = curves[:, :, curves[0, 0] > -1]
        if known.size:
            assert lines["IoU 0.50"] == pytest.approx(100 * known[0].mean(1)), seed
            assert lines["mean over IoU"] == pytest.approx(100 * known.mean((0, 2))), seed
            rows = [row["ap"] for row in metric.rows() if row["ap"] >= 0]
            assert rows == pytest.approx(100 * known.mean((0, 1))), seed


def test_uvo_is_that_of_pycocotools_without_classes(tmp_path):
    for seed in range(CASES):
        of = ("boxes", "masks")[seed % 2]
        truth, results = case(seed, of)
        expected = evaluated(truth, results, SHAPES[of], classes=False)
        found = fed(UvoAR(of=of, resamples=0), written(tmp_path, truth, results)).compute()
        assert [found[name] for name in DETECTION] == pytest.approx(percents(expected.stats)), seed


def test_lvis_is_that_of_faster_coco_eval(tmp_path):
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar300")
    names += ("ap_rare", "ap_common", "ap_frequent")
    for seed in range(CASES):
        of = ("boxes", "masks")[seed % 2]
        truth, results = case(seed, of, federated=True)
        if not results:
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            true = FasterCOCO(copy.deepcopy(truth))
            evaluation = COCOeval_faster(
                true,
                true.loadRes(copy.deepcopy(results)),
                SHAPES[of],
                print_function=lambda *words: None,
                lvis_style=True,
                rle_iou_max_workers=1,
            )
            evaluation.params.maxDets = [300]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        found = fed(LvisAP(of=of, resamples=0), written(tmp_path, truth, results)).compute()
        stats = evaluation.all_stats[[0, 1, 2, 3, 4, 5, 6, -3, -2, -1]]
        assert [found[name] for name in names] == pytest.approx(percents(stats)), seed
