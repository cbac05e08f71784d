"""The rows of benchmarks/metric_speed.py: what is drawn, how it is measured here and by others."""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.metricspeed.events import ENTRIES
from benchmarks.metricspeed.generated import coco_sized
from benchmarks.metricspeed.panoptic import panoptic_sized

Measured = Callable[[Path], float]  # of a folder of files the number in percent
FEW = 500  # images of what takes others minutes
FREQUENCIES = "rcf"


class Row(NamedTuple):
    """size: of the input, in words. ours, theirs: import what they need, and return the measure."""

    size: str
    reference: str
    draw: Callable[[Path], None]
    ours: Callable[[], Measured]
    theirs: Callable[[], Measured]


def ours(section: dict[str, Any], predictions: str, truth: str) -> Measured:
    """A metric of two files, as its command computes it, without the interval."""
    from engine.core.build import build
    from metrics.cli.command import read_pair, reader_of

    metric = build("metrics", {"resamples": 0} | section)
    reader_of(metric)

    def measure(folder: Path) -> float:
        pair = read_pair(metric, folder / predictions, folder / truth)
        metric.update(pair.predictions, pair.targets)
        return metric.compute()[metric.headline]

    return measure


def authors(repository: str, module: str) -> Any:
    """A module of the repository below METRICS_REFERENCES; ImportError where it is not there."""
    if "METRICS_REFERENCES" not in os.environ:
        raise ImportError("METRICS_REFERENCES names no folder of the authors' repositories")
    sys.path.insert(0, str(Path(os.environ["METRICS_REFERENCES"]) / repository))
    # names that numpy had when they were written, and bool it has again
    vars(np).update(float=float, int=int)
    return import_module(module)


def draw_coco(folder: Path, images: int | None = None) -> None:
    """truth.json, boxes.json, masks.json; images: so many of them alone."""
    truth, *results = coco_sized()
    if images is not None:
        truth["images"] = truth["images"][:images]
        kept = {image["id"] for image in truth["images"]}
        truth["annotations"] = _of(truth["annotations"], kept)
        results = [_of(each, kept) for each in results]
    for name, found in zip(("truth", "boxes", "masks"), (truth, *results), strict=True):
        (folder / f"{name}.json").write_text(json.dumps(found))


def _of(annotations: list[dict], images: set[int]) -> list[dict]:
    return [each for each in annotations if each["image_id"] in images]


def draw_lvis(folder: Path) -> None:
    """The same, of which LVIS says more: classes that an image has none of, how rare each is."""
    draw_coco(folder)
    truth = json.loads((folder / "truth.json").read_text())
    classes = [category["id"] for category in truth["categories"]]
    for image in truth["images"]:
        absent = [label for label in classes if (label * 7 + image["id"]) % 5 == 0]
        image |= {"neg_category_ids": absent, "not_exhaustive_category_ids": []}
    there = {(a["image_id"], a["category_id"]) for a in truth["annotations"]}
    for image in truth["images"]:
        found = [label for label in image["neg_category_ids"] if (image["id"], label) not in there]
        image["neg_category_ids"] = found
    for category in truth["categories"]:
        count = len({image for image, label in there if label == category["id"]})
        category |= {"frequency": FREQUENCIES[category["id"] % 3], "image_count": count}
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    (folder / "truth.json").write_text(json.dumps(truth))


def coco_theirs(of: str, results: str, classes: bool = True) -> Measured:
    """pycocotools, from files to the number; `classes`: of each class, or of all as one."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def measure(folder: Path) -> float:
        truth = COCO(str(folder / "truth.json"))
        run = COCOeval(truth, truth.loadRes(str(folder / results)), of)
        run.params.useCats = int(classes)
        run.evaluate()
        run.accumulate()
        run.summarize()
        return 100 * run.stats[0 if classes else 8]

    return measure


def faster_theirs(of: str, results: str) -> Measured:
    """faster-coco-eval, in C++, from files to the number."""
    from faster_coco_eval import COCO, COCOeval_faster

    def measure(folder: Path) -> float:
        truth = COCO(str(folder / "truth.json"))
        cores = len(os.sched_getaffinity(0))
        run = COCOeval_faster(truth, truth.loadRes(str(folder / results)), of)
        run.boundary_cpu_count = cores
        run.evaluate()
        run.accumulate()
        run.summarize()
        return 100 * run.stats[0]

    return measure


def boundary_theirs() -> Measured:
    """boundary-iou-api's boundary AP."""
    room = "bowenc0221/boundary-iou-api"
    coco = authors(room, "boundary_iou.coco_instance_api.coco")
    evaluation = authors(room, "boundary_iou.coco_instance_api.cocoeval")

    def measure(folder: Path) -> float:
        truth = coco.COCO(str(folder / "truth.json"), get_boundary=True)
        found = truth.loadRes(str(folder / "masks.json"))
        run = evaluation.COCOeval(truth, found, "boundary")
        run.evaluate()
        run.accumulate()
        run.summarize()
        return 100 * run.stats[0]

    return measure


def lvis_theirs(pooled: bool, per_image: int) -> Measured:
    """lvis-api's AP, of all detections where per_image is -1; pooled: large-vocab-devil's."""
    lvis = authors("lvis-dataset/lvis-api", "lvis")
    made: Any = lvis.LVISEval
    if pooled:
        made = authors("achalddave/large-vocab-devil", "lvdevil.eval_wrapper").LVISPooledEval

    def measure(folder: Path) -> float:
        truth = lvis.LVIS(str(folder / "truth.json"))
        found = lvis.LVISResults(truth, str(folder / "boxes.json"), max_dets=per_image)
        run = made(truth, found, iou_type="bbox")
        run.params.max_dets = per_image
        run.run()
        found = run.results
        return 100 * found["AP-pooled-all" if pooled else "AP"]

    return measure


def panoptic_theirs(room: str, module: str, *more: Any) -> Measured:
    """panopticapi's PQ, with as many processes as there are cores."""
    # the second has the first one's way of reading ids
    authors("cocodataset/panopticapi", "panopticapi.utils")
    code = authors(room, module)
    code.multiprocessing.cpu_count = lambda: len(os.sched_getaffinity(0))

    def measure(folder: Path) -> float:
        files = str(folder / "truth.json"), str(folder / "predictions.json")
        return 100 * code.pq_compute(*files, None, None, *more)["All"]["pq"]

    return measure


def draw_panoptic(folder: Path) -> None:
    """truth.json and predictions.json with their folders of PNGs."""
    panoptic_sized(FEW, 0, folder)


WHOLE = "5,000 images, 36,000 objects, 50,000 detections"
PART = f"{FEW} images of these"
MAPS = f"{FEW} maps of 640 x 480"
BOUNDARY = "bowenc0221/boundary-iou-api"
ROWS = {
    "coco_ap boxes": Row(
        WHOLE,
        "pycocotools",
        draw_coco,
        partial(ours, {"name": "coco_ap"}, "boxes.json", "truth.json"),
        partial(coco_theirs, "bbox", "boxes.json"),
    ),
    "coco_ap masks": Row(
        WHOLE,
        "pycocotools",
        draw_coco,
        partial(ours, {"name": "coco_ap", "of": "masks"}, "masks.json", "truth.json"),
        partial(coco_theirs, "segm", "masks.json"),
    ),
    "coco_ap boxes, C++": Row(
        WHOLE,
        "faster-coco-eval",
        draw_coco,
        partial(ours, {"name": "coco_ap"}, "boxes.json", "truth.json"),
        partial(faster_theirs, "bbox", "boxes.json"),
    ),
    "uvo_ar boxes": Row(
        WHOLE,
        "pycocotools, useCats = 0",
        draw_coco,
        partial(ours, {"name": "uvo_ar"}, "boxes.json", "truth.json"),
        partial(coco_theirs, "bbox", "boxes.json", False),
    ),
    "boundary_ap": Row(
        PART,
        "boundary-iou-api",
        partial(draw_coco, images=FEW),
        partial(ours, {"name": "boundary_ap"}, "masks.json", "truth.json"),
        boundary_theirs,
    ),
    "boundary_ap, C++": Row(
        WHOLE,
        "faster-coco-eval",
        draw_coco,
        partial(ours, {"name": "boundary_ap"}, "masks.json", "truth.json"),
        partial(faster_theirs, "boundary", "masks.json"),
    ),
    "lvis_ap": Row(
        WHOLE,
        "lvis-api",
        draw_lvis,
        partial(ours, {"name": "lvis_ap"}, "boxes.json", "truth.json"),
        partial(lvis_theirs, False, 300),
    ),
    "ap_fixed": Row(
        WHOLE,
        "lvis-api as large-vocab-devil calls it",
        draw_lvis,
        partial(ours, {"name": "ap_fixed"}, "boxes.json", "truth.json"),
        partial(lvis_theirs, False, -1),
    ),
    "ap_pool": Row(
        WHOLE,
        "large-vocab-devil",
        draw_lvis,
        partial(ours, {"name": "ap_pool"}, "boxes.json", "truth.json"),
        partial(lvis_theirs, True, -1),
    ),
    "pq": Row(
        MAPS,
        "panopticapi",
        draw_panoptic,
        partial(ours, {"name": "pq"}, "predictions.json", "truth.json"),
        partial(panoptic_theirs, "cocodataset/panopticapi", "panopticapi.evaluation"),
    ),
    "boundary_pq": Row(
        MAPS,
        "boundary-iou-api",
        draw_panoptic,
        partial(ours, {"name": "boundary_pq"}, "predictions.json", "truth.json"),
        partial(panoptic_theirs, BOUNDARY, "boundary_iou.coco_panoptic_api.evaluation", "boundary"),
    ),
}
ROWS |= {name: Row(*entry) for name, entry in ENTRIES.items()}
