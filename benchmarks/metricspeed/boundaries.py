"""The time that Boundary AP takes on masks of COCO's size, beside the authors' code and a fast one.

python -m benchmarks.metricspeed.boundaries --images 300, with bowenc0221/boundary-iou-api in the
folder that TAGDAG_REFERENCES names, OpenCV, which it wants, and faster-coco-eval. Processors are
those that the process may use: taskset -c 0. Seconds are those of the clock, and those that all
processors took together.
"""

import argparse
import copy
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.metricspeed.clocks import peak, processors, timed
from benchmarks.metricspeed.generated import coco_sized
from metrics.boundary_ap import BoundaryAP
from metrics.formats.coco import read


def some(folder: Path, images: int) -> tuple[Path, Path]:
    """(results, truth): the first images of the generated ones."""
    truth, _, results = coco_sized()
    truth["images"] = [row for row in truth["images"] if row["id"] <= images]
    truth["annotations"] = [row for row in truth["annotations"] if row["image_id"] <= images]
    results = [row for row in results if row["image_id"] <= images]
    for name, content in (("results", results), ("truth", truth)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "results.json", folder / "truth.json"


def ours(results: Path, truth: Path) -> float:
    """In percent, with its interval."""
    metric = BoundaryAP()
    pair = read(results, truth, metric.reads)
    metric.update(pair.predictions, pair.targets)
    return metric.compute()["ap"]


def theirs(results: Path, truth: Path) -> float:
    """The authors' number, in percent; boundary regions in a process per processor."""
    module = "boundary_iou.coco_instance_api"
    counted = import_module("boundary_iou.utils.boundary_utils").multiprocessing
    counted.cpu_count = processors
    vars(np)["float"] = float  # which numpy has no more
    true = import_module(f"{module}.coco").COCO(str(truth), get_boundary=True)
    evaluation = import_module(f"{module}.cocoeval").COCOeval
    return _run(evaluation(true, true.loadRes(str(results)), iouType="boundary"))


def faster(results: Path, truth: Path) -> float:
    """The number of faster-coco-eval, in percent."""
    from faster_coco_eval import COCO, COCOeval_faster

    true = COCO(str(truth))
    found = true.loadRes(copy.deepcopy(json.loads(results.read_text())))
    many = {"boundary_cpu_count": processors(), "rle_iou_max_workers": processors()}
    return _run(COCOeval_faster(true, found, iouType="boundary", **many))


def _run(evaluation: Any) -> float:
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        step()
    return 100 * evaluation.stats[0]


def main() -> None:
    """Prints the seconds of each, and the peak of memory of ours, which comes first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--alone", action="store_true", help="ours only")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(os.environ["TAGDAG_REFERENCES"], "bowenc0221/boundary-iou-api")))
    with TemporaryDirectory() as folder:
        files = some(Path(folder), asked.images)
        print(f"Boundary AP, {asked.images} images, {processors()} processors")
        first = timed("ours", ours, *files)
        peak()
        if not asked.alone:
            for name, other in (("the authors'", theirs), ("faster", faster)):
                assert abs(timed(name, other, *files) - first) < 1e-6


if __name__ == "__main__":
    main()
