"""Images per second of `python -m flows.predict`, against its parts and against a loop of
torchvision's; and whether its numbers are those of the stage evaluate.

`python -m benchmarks.predicting --run FOLDER` takes the models and images of a finished run (a
clone in which `dvc repro` has run) for the second question. Bare are the same network on batches
that are in memory, and the same decoding in a plain loop: together they are the least that a
command can take which does one after the other.
"""

import argparse
import csv
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from benchmarks.jpegs import PACKS, mosaic, photographs
from corpus.kinds.labels import Label
from corpus.sources.unlabelled import Naming
from corpus.store.read import read_records
from engine.core.allocator import keep_freed_memory
from engine.core.network import network, save_network
from engine.inference.predictor import Predictor
from engine.measure.profile import device_name
from flows.measuring.predictions import FILE
from flows.predicting.images import Images
from flows.predicting.looking import Wanted
from flows.predicting.predict import Outputs, predict
from flows.predicting.weights import Chosen
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD

BATCH, TOP = 512, 5
RESULTS = Path(__file__).parent / "results" / "predicting.md"
SMALL = {"name": "resnext", "depths": [1, 2, 2, 1], "cardinality": 4, "group_width": 4}
SMALL |= {"width": 12, "stem": "simple", "stem_stride": 2, "stem_width": 16}
# RegNetX-400MF: Radosavovic et al. 2020, arXiv 2003.13678
LARGE = {"name": "regnet", "depth": 22, "w_0": 24, "w_a": 24.48, "w_m": 2.54, "group_width": 16}


class Case(NamedTuple):
    """Photographs of so many pixels, and the network that is given squares of `size`."""

    about: str
    photo: int
    size: int
    count: int
    backbone: dict


CASES = (
    Case("photographs of 64 px, baseline of params.yaml at 32 px", 64, 32, 3000, SMALL),
    Case("photographs of 512 px, RegNetX-400MF at 128 px", 512, 128, 300, LARGE),
)


class Spent(NamedTuple):
    """Seconds of one side: by the clock, and of the processor."""

    wall: float
    cpu: float


def spent(work: Callable[[], None]) -> Spent:
    """What a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def written(folder: Path, case: Case, packs: Path) -> Path:
    """JPEGs of a case, one by one in a folder, as torchvision's ImageFolder wants them."""
    photos, chance = list(photographs(packs / f"{PACKS[64]}.tar.xz", 3000)), random.Random(0)
    made = photos if case.photo == 64 else None
    (folder / "all").mkdir(parents=True)
    for number in range(case.count):
        data = made[number] if made else mosaic(photos, case.photo, chance)
        (folder / "all" / f"{number:05d}.jpg").write_bytes(data)
    return folder


class Sides:
    """The sides of a case, each a call that goes through all images."""

    def __init__(self, case: Case, photos: Path, folder: Path) -> None:
        self.case, self.photos, self.folder = case, photos, folder
        self.files = sorted(photos.glob("*/*.jpg"))
        self.weights = folder / "network.safetensors"
        sections = {"backbone": case.backbone, "objective": {"name": "supervised"}}
        sections |= {"head": {"name": "linear"}}
        module = network(**sections, classes=100)
        save_network(self.weights, module, sections, [f"class {n}" for n in range(100)])
        self.predictor = Predictor(self.weights, case.size)
        squares = [self.predictor.square(file.read_bytes()) for file in self.files]
        self.squares = torch.from_numpy(np.stack(squares))

    def decoding(self) -> None:
        """Files read and decoded in a plain loop."""
        for file in self.files:
            self.predictor.square(file.read_bytes())

    def bare(self) -> None:
        """The network alone, on squares in memory."""
        for batch in self.squares.split(BATCH):
            self.predictor.ranked(batch, TOP)

    def command(self) -> None:
        """What the command does once it is imported, the table written."""
        naming = Naming("image", None, self.folder / "spool")
        chosen = Chosen(self.weights, self.case.size, self.case.size, "network")
        outputs = Outputs(self.folder / "out.csv", None, None, 0)
        images = Images([str(self.photos)], naming)
        wanted = Wanted(TOP, 0.0, False)
        predict(chosen, images, wanted, outputs, BATCH, 1, lambda *_: None)

    def torchvisions(self) -> None:
        """torchvision's ImageFolder, transforms and DataLoader around the same network."""
        size, module = self.case.size, self.predictor.module
        steps = [v2.Resize(size, antialias=True), v2.CenterCrop(size), v2.ToImage()]
        steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        images = torchvision.datasets.ImageFolder(self.photos, v2.Compose(steps))
        names = iter(images.samples)
        with (self.folder / "peer.csv").open("w") as file, torch.inference_mode():
            out = csv.writer(file)
            for batch, _ in DataLoader(images, BATCH):
                logits = module.logits(batch.contiguous(memory_format=torch.channels_last))
                best = logits.softmax(1).topk(TOP)
                rows = zip(best.values.tolist(), best.indices.tolist(), strict=True)
                out.writerows((next(names)[0], *scores, *places) for scores, places in rows)


def table(case: Case, packs: Path, runs: int) -> Iterator[str]:
    """Lines of one case: medians over interleaved runs."""
    with tempfile.TemporaryDirectory() as name:
        sides = Sides(case, written(Path(name) / "photos", case, packs), Path(name))
        calls = {"decoding": sides.decoding, "network": sides.bare}
        calls |= {"flows.predict": sides.command, "torchvision": sides.torchvisions}
        found: dict[str, list[Spent]] = {side: [] for side in calls}
        for run in range(runs + 1):  # the first to warm up
            for side, call in calls.items():
                taken = spent(call)
                found[side] += [taken] if run else []
    both = [Spent(*np.add(*each)) for each in zip(found["decoding"], found["network"], strict=True)]
    sums = {"bare network + decoding": both, **found}
    yield f"\n{case.about}, {case.count} images\n"
    yield "| side | images/s | µs of the processor per image | ratio to bare (min to max) |"
    yield "| --- | --- | --- | --- |"
    for side, values in sums.items():
        ratios = sorted(a.cpu / b.cpu for a, b in zip(both, values, strict=True))
        rate = case.count / median(value.wall for value in values)
        each = 1e6 * median(value.cpu for value in values) / case.count
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        yield f"| {side} | {rate:.0f} | {each:.0f} | {spread} |"


def compared(run: Path) -> Iterator[str]:
    """Lines on each model of a finished run: the images of data/ predicted, against evaluate's."""
    told = pq.read_table(run / "out/evaluate/scenes" / FILE)
    [classes] = json.loads(told.schema.metadata[b"classes"]).values()
    yield "\n| model | test images | same class | same score, float32 |"
    yield "| --- | --- | --- | --- |"
    for record in json.loads((run / "out/evaluate/scenes/records.json").read_text()):
        size, store = record["size"], run / "data" / record["data"]
        rows = told.to_pandas().query("model == @record['model'] and seed == @record['seed']")
        with tempfile.TemporaryDirectory() as name:
            images = Images(
                [str(tar) for tar in sorted(store.glob("*.tar"))],
                Naming("image", None, Path(name) / "spool"),
            )
            chosen = Chosen(run / record["weights"], size, size, record["model"])
            out = Outputs(Path(name) / "out.parquet", None, None, 0)
            predict(chosen, images, Wanted(TOP, 0.0, False), out, BATCH, 1, lambda *_: None)
            found = pq.read_table(out.table).to_pandas()
        ids = {each.image: each.id for each in read_records(store, Label)}
        found.index = [ids[name.rpartition(":")[2]] for name in found["image"]]
        found = found.loc[rows["id"]]
        names = [classes[guess] for guess in rows["guess"]]
        same = int((found["class"].to_numpy() == np.array(names)).sum())
        equal = int((found["score"].to_numpy() == rows["score"].to_numpy()).sum())
        yield f"| {record['model']} | {len(rows)} | {same} | {equal} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"), help="data packs")
    parser.add_argument("--runs", type=int, default=5, help="of each side, interleaved")
    parser.add_argument("--run", type=Path, help="a finished run, for the comparison with evaluate")
    parser.add_argument("--out", action="store_true", help="write results/predicting.md too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the command does; all sides gain by it
    machine = device_name(torch.device("cpu"))
    packages = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    lines = [
        "# Predicting\n",
        f"`python -m benchmarks.predicting --run FOLDER --out`, {date.today()}, {machine};",
        f"{packages}. One thread decodes, one is the network's; medians of {options.runs}",
        "interleaved runs. Ratios are of processor time, which other work does not change.",
    ]
    for case in CASES:
        lines += table(case, options.packs, options.runs)
    if options.run:
        lines += ["\nThe numbers of the stage evaluate on the test split, image by image"]
        lines += compared(options.run)
    lines += [f"\nLoad of the machine at the end: {os.getloadavg()[0]:.0f}"]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
