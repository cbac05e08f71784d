"""Boundary AP: the authors' rule on top of pycocotools, faster-coco-eval, and a known value."""

import contextlib
import copy
import io

import numpy as np
import pytest
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from metrics.boundary_ap import BoundaryAP
from tests.metrics.detection.cases import case, written
from tests.metrics.detection.test_coco_goldens import NUMBERS, RESULTS, TRUTH, computed, reference
from tests.metrics.detection.test_coco_parity import percents
from tests.metrics.masks.test_masks import naive_boundary

CASES = 200
KNOWN = {"ap": 22.6394, "ap50": 37.7501, "ap75": 22.5580}
KNOWN |= {"ap_small": 38.7374, "ap_medium": 27.2367, "ap_large": 7.5544}


class Naive(COCOeval):
    """COCOeval of whole images: computeBoundaryIoU of the authors' api, with a plain erosion."""

    def computeIoU(self, image, category):
        truths = self._gts[image, category]
        found = sorted(self._dts[image, category], key=lambda row: -row["score"])
        if not truths or not found:
            return []
        found = found[: self.params.maxDets[-1]]
        masks = [row["segmentation"] for row in found]
        others = [row["segmentation"] for row in truths]
        crowd = [int(row["iscrowd"]) for row in truths]
        plain = coco.iou(masks, others, crowd)
        edges = coco.iou(list(map(edge, masks)), list(map(edge, others)), crowd)
        return np.where(crowd, plain, np.minimum(plain, edges))


def edge(mask: dict) -> dict:
    region = naive_boundary(coco.decode([mask])[:, :, 0].astype(bool), 0.02)
    return coco.encode(np.asfortranarray(region, np.uint8))


def evaluated(classes: tuple, truth: dict, results: list[dict], *options, **named) -> list[float]:
    """The twelve numbers of an evaluation, in percent."""
    dataset, evaluation = classes
    with contextlib.redirect_stdout(io.StringIO()):
        true = dataset()
        true.dataset = copy.deepcopy(truth)
        true.createIndex()
        run = evaluation(true, true.loadRes(copy.deepcopy(results)), *options, **named)
        for step in (run.evaluate, run.accumulate, run.summarize):
            step()
    return percents(np.array(run.stats[:12]))


def test_two_other_codes_give_the_same(tmp_path):
    both = 0
    for seed in range(CASES):
        truth, results = case(seed, "masks")
        if not results or not truth["annotations"]:
            continue
        both += 1
        found = computed(BoundaryAP(resamples=0), *written(tmp_path, truth, results))
        ours = [found[name] for name in NUMBERS]
        assert ours == pytest.approx(evaluated((COCO, Naive), truth, results, "segm")), seed
        if seed % 4 == 1:
            named = {"iouType": "boundary", "boundary_cpu_count": 1, "rle_iou_max_workers": 1}
            faster = evaluated((FasterCOCO, COCOeval_faster), truth, results, **named)
            assert ours == pytest.approx(faster), seed
    assert both > 150


def test_the_known_value_of_a_hundred_images():
    files = reference(RESULTS.format("segm")), reference(TRUTH)
    found = computed(BoundaryAP(), *files)
    assert {name: found[name] for name in KNOWN} == pytest.approx(KNOWN, abs=5e-5)
