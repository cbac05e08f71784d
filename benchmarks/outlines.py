"""How good the outlines are that the networks of a task draw, all its heads and seeds.

    python -m benchmarks.outlines masks [--work .tagdag/objects]    (2 minutes for 12 networks)

Cheng et al. 2021, "Boundary IoU", arXiv 2103.16562: AP of masks and AP of their boundaries on the
test images, by the weights that a pipeline has left, as `make repro RECIPE=objects` does in the
folder of its clone. PointRend (arXiv 1912.08193) is made for the second.
"""

import argparse
import contextlib
import json
from operator import itemgetter
from pathlib import Path

import numpy as np

from benchmarks.mask_studies import All
from benchmarks.selfsup_report import listed, row
from engine.core.network import load_network
from engine.core.samples import Rows, open_split
from engine.core.threads import torch_threads
from engine.training.predicting import scored
from flows.running import settings

METRICS = {"AP of masks": {"name": "coco_ap", "of": "masks", "resamples": 0}}
METRICS["AP of boundaries"] = {"name": "boundary_ap", "resamples": 0}


def measured(weights: Path, folder: Path) -> dict[str, float]:
    """Both numbers of a network, of one pass over the test images."""
    module, _ = load_network(weights)
    samples = Rows(open_split(folder, "test"), module.reads)
    return scored(module, samples, All.of(METRICS)).headlines()


def table(task: str) -> list[str]:
    """A row per head and pretraining: means over seeds, and each seed."""
    section = settings.named("tasks", task)
    records = json.loads((settings.OUT / "finetune" / task / "records.json").read_text())
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for record in records:
        weights = settings.OUT / "finetune" / task / f"{record['name']}.safetensors"
        numbers = measured(weights, settings.OUT / "corpus" / section["data"])
        found.setdefault((record["head"]["name"], record["init"]), []).append(numbers)
    lines = listed(["head", "pretraining", *METRICS])
    for (head, init), seeds in found.items():
        cells = [_cell(list(map(itemgetter(name), seeds))) for name in METRICS]
        lines.append(row([head, init, *cells]))
    return lines


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", help="a task with masks")
    parser.add_argument("--work", type=Path, default=Path.cwd(), help="where its pipeline ran")
    given = parser.parse_args()
    with contextlib.chdir(given.work), torch_threads(1):
        print("\n".join(table(given.task)))


if __name__ == "__main__":
    main()
