"""Training images per second, decoded, augmented and learnt from, against timm's and
torchvision's training scripts.

`python -m benchmarks.throughput --timm DIR --torchvision DIR --packs ../shared/data` trains the
same RegNets on the same JPEGs with the same batch, optimizer and augmentation. The folders are
checkouts of

    git clone https://github.com/huggingface/pytorch-image-models    (train.py) git clone
    https://github.com/pytorch/vision                      (references/classification/train.py)

whose scripts run unchanged; without a folder that side is left out. Every side has the same cores,
by affinity; first each peer's workers and threads are tried and its fastest setting is kept, then
all sides take turns.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.jpegs import drawn, written
from benchmarks.packs import CIFAR, PHOTOS, photographs
from engine.core.build import build
from engine.measure.complexity import measure
from engine.measure.profile import device_name

PACKS = {32: CIFAR, 64: PHOTOS}
# the first about as large as the winner of the sample's search; the second is the paper's
# RegNetX-200MF
NETWORKS = {
    "small RegNet": {
        "depth": 8,
        "w_0": 24,
        "w_a": 24.0,
        "w_m": 2.2,
        "group_width": 8,
        "stem_width": 16,
    },
    "RegNetX-200MF": {"depth": 13, "w_0": 24, "w_a": 36.44, "w_m": 2.49, "group_width": 8},
}
OURS, SYNTHETIC, PEERS = "tagdag", "synthetic", ("timm", "torchvision")
KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
}  # as engine.core.allocator


@dataclass(frozen=True)
class Setting:
    """How one side runs: torch's threads, loader processes, further flags of its script,
    variables of its process.
    """

    side: str
    threads: int
    workers: int = 0
    flags: tuple[str, ...] = ()
    kept: bool = False

    def __str__(self) -> str:
        if self.side in (OURS, SYNTHETIC):
            return f"{self.threads} threads"
        allocator = ["freed memory kept by glibc's tunables"] if self.kept else []
        return ", ".join(
            [f"{self.threads} threads", f"{self.workers} workers", *self.flags, *allocator]
        )


@dataclass(frozen=True)
class Timing:
    """What one run of a side showed: images per second, share of time between update and next
    forward pass, bytes.
    """

    rate: float
    outside: float
    memory: int


def timing(stamps: dict[str, Any], warm: int, batch: int) -> Timing:
    """From the end of update `warm` to the end of the last one."""
    begun, ended = stamps["begun"], stamps["ended"]
    spent = ended[-1] - ended[warm - 1]
    outside = sum(begun[i] - ended[i - 1] for i in range(warm, len(ended)))
    return Timing((len(ended) - warm) * batch / spent, outside / spent, stamps["memory"])


def run(setting: Setting, job: dict[str, Any], steps: int) -> Timing:
    """One run of a side in a process of its own. RuntimeError with its last words if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stamps.json"
        side = job | {
            "name": setting.side,
            "workers": setting.workers,
            "flags": setting.flags,
            "out": str(out),
        }
        side |= {"script": job["scripts"].get(setting.side), "steps": job["warm"] + steps}
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "benchmarks.throughput_sides",
            json.dumps(side),
        ]
        settings = (
            os.environ | {"OMP_NUM_THREADS": str(setting.threads)} | (KEPT if setting.kept else {})
        )
        done = subprocess.run(command, env=settings, capture_output=True, text=True)
        if not out.exists():
            raise RuntimeError(f"{setting} of {setting.side} failed:\n{done.stderr[-2000:]}")
        return timing(json.loads(out.read_text()), job["warm"], job["batch"])


def alternatives(side: str, cores: int) -> Iterator[Setting]:
    """The settings of a peer that are tried."""
    flags = {"timm": [()], "torchvision": [(), ("--backend", "tensor", "--use-v2")]}[side]
    shares = (
        range(cores + 1) if cores <= 4 else (cores // 2, cores)
    )  # on a large machine few are worth their minutes
    for threads, workers, more in product(sorted({1, cores}), shares, flags):
        yield Setting(side, threads, workers, more)


def fastest(side: str, job: dict[str, Any], steps: int, cores: int) -> Setting:
    """A peer's best setting by one short run of each."""
    rates = {setting: run(setting, job, steps).rate for setting in alternatives(side, cores)}
    for setting, rate in rates.items():
        print(f"{side}, {setting}: {rate:.0f} images/s", file=sys.stderr, flush=True)
    return max(rates, key=rates.__getitem__)


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(timings: dict[Setting, list[Timing]]) -> Iterator[str]:
    """One line per side: ratios are those of the runs of a round, tagdag's rate over the side's."""
    rates = {}
    for setting, runs in timings.items():
        rates[setting] = [timing.rate for timing in runs]
    ours = next(values for setting, values in rates.items() if setting.side == OURS)
    bare = next(values for setting, values in rates.items() if setting.side == SYNTHETIC)
    heads = ["side", "settings", "images/s", "tagdag is as fast, times"]
    heads += ["share of the bare step's rate", "not in the step"]
    yield f"| {' | '.join(heads)} |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for setting, values in rates.items():
        ratios = [a / b for a, b in zip(ours, values, strict=True)]
        shares = [a / b for a, b in zip(values, bare, strict=True)]
        outside = median(timing.outside for timing in timings[setting])
        name = "tagdag's step on one batch in memory" if setting.side == SYNTHETIC else setting.side
        cells = [name, str(setting), f"{median(values):.0f}", spread(ratios)]
        cells += [f"{median(shares):.2f}", f"{outside:.0%}"]
        yield f"| {' | '.join(cells)} |"


def on_gpu(timings: dict[Setting, list[Timing]], flops: float, peak: float) -> Iterator[str]:
    """Model-flops utilisation (a multiply-add is two, backward is twice forward) and peak memory
    of each side.
    """
    for setting, runs in timings.items():
        used = 6 * flops * median(timing.rate for timing in runs) / peak
        memory = max(timing.memory for timing in runs) / 2**20
        yield f"{setting.side}: model-flops utilisation {used:.1%}, peak memory {memory:.0f} MiB"


def compare(name: str, job: dict[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """Lines on one network."""
    backbone = {"name": "regnet", **NETWORKS[name]}
    flops = measure(build("backbones", backbone), (3, job["size"], job["size"]))["flops"]
    yield f"\n## {name}, {flops / 1e6:.1f} million multiply-adds at {job['size']} px\n"
    job = job | {"backbone": backbone}
    best = [
        fastest(side, job, options.tried, options.cores) for side in PEERS if side in job["scripts"]
    ]
    own = [Setting(side, options.cores) for side in (OURS, SYNTHETIC)]
    # on a GPU the host's allocator is not what is waited for
    kept = [replace(setting, kept=True) for setting in best] if options.device == "cpu" else []
    timings: dict[Setting, list[Timing]] = {setting: [] for setting in [*own, *best, *kept]}
    for _ in range(options.rounds):
        for setting, runs in timings.items():
            runs.append(run(setting, job, options.steps))
    yield from table(timings)
    if options.device == "cuda":
        yield ""
        yield from on_gpu(timings, flops, options.peak * 1e12)


def data(folder: Path, packs: Path, size: int, count: int) -> int:
    """Shards, a folder of files, and what torchvision's script wants beside it.

    Returns the number of classes.
    """
    if (packs / PACKS[size]).is_file():
        photos = [
            (photo.label, photo.data)
            for photo in photographs(packs, PACKS[size])
            if photo.part == "train"
        ]
        photos = random.Random(0).sample(photos, count)  # a pack lists one class after the other
    else:
        photos = list(drawn(size, count))
    written(folder, photos, size)
    (folder / "val").symlink_to(folder / "train")  # never read: the runs end before an epoch does
    return len(list((folder / "train").iterdir()))


def parsed() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timm", type=Path, help="checkout of pytorch-image-models")
    parser.add_argument("--torchvision", type=Path, help="checkout of vision")
    parser.add_argument(
        "--commits", default="not named", help="of the two checkouts, for the table"
    )
    parser.add_argument(
        "--packs",
        type=Path,
        default=Path("../shared/data"),
        help="folder of real data packs, else drawn images",
    )
    parser.add_argument("--size", type=int, default=64, choices=list(PACKS))
    parser.add_argument("--count", type=int, default=20000, help="images")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side, interleaved")
    parser.add_argument(
        "--steps", type=int, default=80, help="steps measured in a run, after --warm others"
    )
    parser.add_argument("--warm", type=int, default=10)
    parser.add_argument(
        "--tried", type=int, default=30, help="steps measured when a peer's settings are tried"
    )
    parser.add_argument(
        "--cores", type=int, default=2, help="that each side may use, all of its processes together"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--amp", action="store_true", help="bfloat16, for torchvision's script float16"
    )
    parser.add_argument(
        "--peak", type=float, default=989.0, help="TFLOP/s of the GPU in the precision used"
    )
    parser.add_argument(
        "--out", action="store_true", help="write benchmarks/results/throughput.md too"
    )
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs an NVIDIA GPU that torch sees; there is none here")
    if (options.warm + max(options.steps, options.tried)) * options.batch > options.count:
        parser.error("the steps of a run must fit into one epoch: raise --count or lower --steps")
    return options


def main() -> None:
    """Print the tables."""
    options = parsed()
    scripts = {}
    if options.timm:
        scripts["timm"] = options.timm / "train.py"
    if options.torchvision:
        scripts["torchvision"] = options.torchvision / "references" / "classification" / "train.py"
    os.sched_setaffinity(
        0, sorted(os.sched_getaffinity(0))[: options.cores]
    )  # inherited by every side
    torch.set_num_threads(options.cores)
    packages = ", ".join(
        f"{name} {version(name)}"
        for name in ("torch", "torchvision", "timm", "simplejpeg", "pillow")
    )
    kind = "" if (options.packs / PACKS[options.size]).is_file() else "drawn "
    lines = [
        "# Throughput of training\n",
        f"{options.count} {kind}JPEGs of {options.size} px, batches of {options.batch};",
        f"medians of {options.rounds} runs of {options.steps} steps, interleaved. {date.today()},",
        f"{device_name(torch.device(options.device))}; {packages}; scripts: {options.commits}.",
    ]
    with tempfile.TemporaryDirectory() as name:
        job: dict[str, Any] = {
            key: getattr(options, key) for key in ("size", "batch", "warm", "device", "amp")
        }
        job |= {
            "data": name,
            "scripts": {side: str(path.resolve()) for side, path in scripts.items()},
        }
        job |= {"classes": data(Path(name), options.packs, options.size, options.count)}
        for network in options.networks:
            lines += compare(network, job, options)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        (Path(__file__).parent / "results" / "throughput.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
