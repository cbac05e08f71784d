"""Training images per second of the methods without labels, views included, against lightly's.

`python -m benchmarks.methods --packs ../shared/data` trains the same network on the same images in
memory with the same batch, optimizer, sizes of heads, and crops and distortions of the same
probabilities: by tagdag's loop, and by a plain loop around lightly's losses, heads, transforms and
memory bank, as the examples of its documentation are (benchmarks/methods_lightly.py). Each side is
a process of its own with one thread; they take turns. `make peers` installs lightly.

An image counts once in a step, however many views of it there are.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from itertools import chain, islice, product, starmap
from operator import attrgetter
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.packs import PHOTOS, photographs
from engine.core.build import build
from engine.measure.complexity import measure
from engine.measure.profile import device_name

OURS, PLAIN = "tagdag", "supervised"
# sizes of heads as in lightly's examples, which are for few and small images; of DINO all
METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"hidden": 512, "width": 128},
    # the batch norm of one worker, as lightly's example
    "moco": {"hidden": 512, "width": 128, "queue": 4096, "splits": 1},
    "barlow_twins": {"hidden": 2048, "width": 2048},
    "byol": {"hidden": 1024, "width": 256},
    "dino": {"hidden": 512, "bottleneck": 64, "prototypes": 2048},
    "swav": {"hidden": 512, "width": 128, "prototypes": 512, "freeze_prototypes": 0},
}
VIEWS = {"dino": "2 + 8 small", "swav": "2 + 6 small"}
EPOCHS = 1000  # no run comes to their end


class Side(NamedTuple):
    """Whose method, and how it runs."""

    name: str
    method: str
    workers: int = 0


class Timing(NamedTuple):
    """What one run showed: images per second, and per second of the processor; the share of time
    in which views were made; MiB at the most, libraries and images with them.
    """

    rate: float
    of_processor: float
    views: float
    memory: float


Timings = dict[Side, list[Timing]]


def timing(found: dict[str, float], images: int) -> Timing:
    """Of what a side wrote, over so many images."""
    seconds = found["seconds"]
    return Timing(
        images / seconds,
        images / found["processor"],
        found["views"] / seconds,
        found["memory"],
    )


class Running:
    """A side in a process of its own, which waits but when it is asked."""

    def __init__(self, side: Side, job: dict[str, Any]) -> None:
        self.side, self.images = side, job["steps"] * job["batch"]
        told = job | {"side": side.name, "method": side.method, "workers": side.workers}
        told |= {"options": METHODS.get(side.method, {}), "epochs": EPOCHS}
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.methods_sides"]
        self.told = tempfile.TemporaryFile()  # noqa: SIM115, closed by `end`
        self.process = subprocess.Popen(
            [*command, json.dumps(told)],
            env=os.environ | {"OMP_NUM_THREADS": str(job["threads"])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.told,
            text=True,
        )

    def take(self) -> Timing:
        """Some steps. RuntimeError with the last words of the process if it fails."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return timing(json.loads(line), self.images)
        self.told.seek(0)
        raise RuntimeError(f"{self.side} failed:\n{self.told.read().decode()[-2000:]}")

    def end(self) -> None:
        """The process ends when nothing more is asked."""
        self.process.stdin.close()
        self.process.wait()
        self.told.close()


def sides(method: str, workers: list[int]) -> list[Side]:
    """Who takes turns: plain supervised training, and of a method tagdag and lightly."""
    peers = [Side("lightly", method, count) for count in workers]
    return [Side(OURS, PLAIN), Side(OURS, method), *peers]


def compared(method: str, job: dict[str, Any], options: argparse.Namespace) -> Timings:
    """What each side of a method showed in every round."""
    running = [Running(side, job) for side in sides(method, options.workers)]
    timings: Timings = {each.side: [] for each in running}
    try:
        for number, each in product(range(options.rounds), running):
            timings[each.side].append(each.take())
            rate = timings[each.side][-1].rate
            print(f"{number + 1}: {each.side}: {rate:.0f} images/s", file=sys.stderr, flush=True)
    finally:
        for each in running:
            each.end()
    return timings


def keep(options: argparse.Namespace, method: str, timings: Timings) -> None:
    """Timings of a method in a file of its own, where such are kept."""
    if options.kept:
        options.kept.mkdir(parents=True, exist_ok=True)
        told = json.dumps(list(timings.items()))
        (options.kept / f"{method}.json").write_text(told, encoding="utf-8")


def kept(options: argparse.Namespace, method: str) -> Timings | None:
    """Those that an earlier run of the same options left there."""
    file = options.kept and options.kept / f"{method}.json"
    if not file or not file.is_file():
        return None
    told = json.loads(file.read_text(encoding="utf-8"))
    return {Side(*side): list(starmap(Timing, runs)) for side, runs in told}


def spread(values: list[float], digits: int = 2) -> str:
    """Median (least to most)."""
    middle, least, most = (f"{f(values):.{digits}f}" for f in (median, min, max))
    return f"{middle} ({least} to {most})"


def middle(runs: list[Timing], key: str) -> float:
    """The median of what each run tells by this name."""
    return median(map(attrgetter(key), runs))


def ratios(timings: Timings, one: Side, other: Side, of: str) -> list[float]:
    """How many times as fast one side is as the other, in each round."""
    pairs = zip(timings[one], timings[other], strict=True)
    return [getattr(a, of) / getattr(b, of) for a, b in pairs]


def table(of: dict[str, Timings], workers: int) -> Iterator[str]:
    """A line per method, of lightly with so many processes that load."""
    heads = ["method", "views", "tagdag, images/s", "lightly, images/s"]
    heads += ["tagdag is as fast, times", "by time of the processor"]
    heads += ["views' share of time: tagdag", "lightly", "peak MiB: tagdag", "lightly"]
    if workers:
        # the processor's time of the loader's processes is not known, and views are made beside
        heads = [*heads[:5], *heads[8:]]
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---'] * len(heads))} |"
    for method, timings in of.items():
        pair = Side(OURS, method), Side("lightly", method, workers)
        runs = [timings[side] for side in pair]
        cells = [method, VIEWS.get(method, "2")]
        cells += [f"{middle(side, 'rate'):.0f}" for side in runs]
        cells.append(spread(ratios(timings, *pair, "rate")))
        if not workers:
            cells.append(spread(ratios(timings, *pair, "of_processor")))
            cells += [f"{middle(side, 'views'):.0%}" for side in runs]
        cells += [f"{max(map(attrgetter('memory'), side)):.0f}" for side in runs]
        yield f"| {' | '.join(cells)} |"


def costs(of: dict[str, Timings]) -> Iterator[str]:
    """What an image costs by each method of tagdag, in that of plain supervised training."""
    plain = Side(OURS, PLAIN)
    heads = ["method", "views", "images/s", "cost of an image, times supervised"]
    yield f"| {' | '.join([*heads, 'share of time for views'])} |"
    yield "| --- | --- | --- | --- | --- |"
    for method, timings in of.items():
        side = Side(OURS, method)
        rate, share = (middle(timings[side], key) for key in ("rate", "views"))
        cost = spread(ratios(timings, plain, side, "of_processor"))
        yield f"| {method} | {VIEWS.get(method, '2')} | {rate:.0f} | {cost} | {share:.0%} |"
    runs = list(chain.from_iterable(timings[plain] for timings in of.values()))
    rate, share = (middle(runs, key) for key in ("rate", "views"))
    yield f"| {PLAIN} | 1 | {rate:.0f} | 1 | {share:.0%} |"


def pictures(packs: Path, count: int, size: int) -> np.ndarray:
    """Images uint8 (count, size, size, 3): photographs where the pack is, else random blots."""
    if not (packs / PHOTOS).is_file():
        coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        return np.stack([np.asarray(Image.fromarray(each).resize((size, size))) for each in coarse])
    found = islice(photographs(packs, PHOTOS), count)
    opened = (Image.open(BytesIO(photo.data)).convert("RGB") for photo in found)
    return np.stack([np.asarray(image.resize((size, size))) for image in opened])


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"))
    parser.add_argument("--candidate", type=Path, default=Path("candidates/resnext.yaml"))
    parser.add_argument("--size", type=int, default=32, help="side of the images")
    parser.add_argument("--count", type=int, default=4096, help="images")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1], help="of DataLoader")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, interleaved")
    parser.add_argument("--steps", type=int, default=20, help="measured, after --warm others")
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument(
        "--kept", type=Path, help="folder of timings: methods that are there are not run again"
    )
    parser.add_argument("--quick", action="store_true", help="two steps of a few images, once")
    parser.add_argument("--out", action="store_true", help="write benchmarks/results/methods.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.steps, options.warm = 1, 2, 1
        options.batch, options.count, options.workers = 8, 32, [0]
    return options


def page(of: dict[str, Timings], options: argparse.Namespace, flops: float) -> list[str]:
    """The tables with what they are of."""
    kind = "photographs" if (options.packs / PHOTOS).is_file() else "random images"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "lightly"))
    data = f"{options.count} {kind} of {options.size} px in memory, batches of {options.batch}"
    device = device_name(torch.device("cpu"))
    about = f"""`python -m benchmarks.methods`: {data}, a network of {flops / 1e6:.1f} million
        multiply-adds, {options.threads} thread; {options.rounds} runs of {options.steps} steps of
        each side, interleaved. {date.today()}, {device}; {packages}. About
        {os.getloadavg()[2]:.0f} processes wanted the {os.cpu_count()} cores of the machine while
        this was measured. The ratio by time of the processor is the steadier one then: a
        neighbour hardly lengthens it. An image counts once in a step. Peaks have libraries and
        images in them. lightly makes its views one by one with Pillow, of images in memory."""
    lines = ["# Speed of the methods without labels\n", fill(" ".join(about.split()), 100)]
    for count in options.workers:
        lines.append(f"\n## lightly's DataLoader with {count} processes of its own\n")
        lines += table(of, count)
    lines.append("\n## What an image costs\n")
    lines += costs(of)
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    options = parsed(arguments)
    try:
        version("lightly")
    except PackageNotFoundError:
        raise SystemExit("lightly is not installed here: run `make peers`") from None
    backbone = yaml.safe_load(options.candidate.read_text())
    side = (3, options.size, options.size)
    flops = measure(build("backbones", backbone), side)["flops"]
    of: dict[str, Timings] = {}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, pictures(options.packs, options.count, options.size))
        job = {key: getattr(options, key) for key in ("size", "batch", "steps", "warm", "threads")}
        job |= {"images": str(images), "backbone": backbone}
        for method in options.methods:
            of[method] = kept(options, method) or compared(method, job, options)
            keep(options, method, of[method])
    text = "\n".join(page(of, options, flops)) + "\n"
    print(text)
    if options.out:
        (Path(__file__).parent / "results" / "methods.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
