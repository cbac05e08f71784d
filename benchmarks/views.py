"""Views of pretraining without labels per second: ours, torchvision's and lightly's, one thread.

    python -m benchmarks.views [--packs ../shared/data] [--runs 5]    (minutes on a CPU core)

Photographs lie decoded in memory: 32 px (CIFAR-10), and 224 px cut from mosaics of Tiny ImageNet.
Every side makes the same views of them: two as MoCo v2 has them, or two and six small ones as SwAV
has them; a batch of each view is what comes out, channels last. torchvision's v2 transforms see the
same uint8 tensors, lightly's the same PIL images, one by one, and their batches are stacked, as a
DataLoader does in each of its workers. lightly is timed where it is installed.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from os import getloadavg
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.jpegs import PACKS, sized
from benchmarks.packs import FOLDER
from benchmarks.study import preamble
from corpus.media.decoding import decode
from corpus.media.squares import square
from models.blocks.augment.crops import MOCO_V2, SWAV, Crops
from models.blocks.augment.draws import Draws
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD

BATCHES = {32: 256, 224: 16}  # images, by their side
KINDS = {"2 views (MoCo v2)": MOCO_V2, "2 views and 6 small ones (SwAV)": SWAV}
# what a view would lack without it
OPERATIONS = {
    "jitter": {"jitter_share": 0},
    "greyscale": {"grey": 0},
    "blur": {"blur": (0,)},
}
KERNEL = 13  # pixels of torchvision's blur: as wide as ours for sigmas up to 2
Side = Callable[[], list[Tensor]]  # makes the views of one batch


def pictures(packs: Path, side: int) -> Tensor:
    """A batch uint8 (n, side, side, 3)."""
    count, stored = BATCHES[side], min(size for size in PACKS if size >= side)
    photos = sized(packs, stored, count if stored <= 64 else 8 * count)
    found = [torch.as_tensor(decode(square(photo, stored))) for _, photo in photos]
    return torch.stack(found)[:, :side, :side].contiguous()


def ours(images: Tensor, settings: dict[str, Any]) -> Side:
    """Crops of this repository, with draws of another step each time."""
    crops, generator = Crops(**settings), torch.Generator().manual_seed(0)
    return lambda: list(crops({"image": images}, Draws(generator)).values())


def torchvisions(images: Tensor, settings: dict[str, Any]) -> Side:
    """Transforms of torchvision, v2."""
    whole, small = _sides(images, settings)
    colours = [
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(*settings["jitter"])], 0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(KERNEL, (0.1, 2.0))], settings["blur"][0]),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    views = [v2.Compose([v2.RandomResizedCrop(whole, settings["scale"]), *colours])] * 2
    if small:
        crop = v2.RandomResizedCrop(small, settings["small_scale"])
        views += [v2.Compose([crop, *colours])] * settings["small"]
    planes = list(images.permute(0, 3, 1, 2).contiguous())
    return partial(_stacked, planes, lambda image: [view(image) for view in views])


def lightlys(images: Tensor, settings: dict[str, Any]) -> Side:
    """Transforms of lightly."""
    from lightly.transforms import MoCoV2Transform, SwaVTransform

    whole, small = _sides(images, settings)
    transform = SwaVTransform((whole, small)) if small else MoCoV2Transform(whole)
    return partial(_stacked, [Image.fromarray(image.numpy()) for image in images], transform)


def _sides(images: Tensor, settings: dict[str, Any]) -> tuple[int, int]:
    """Sides of the views, and of the small ones; 0: there are none."""
    whole, small = Crops(**settings).sides(images)
    return whole[0], small[0] if settings.get("small") else 0


def _stacked(images: list[Any], transform: Callable[[Any], list[Tensor]]) -> list[Tensor]:
    """Batches of each view, as a DataLoader stacks them and a network takes them."""
    views = zip(*map(transform, images), strict=True)
    layout = torch.channels_last
    return [torch.stack(view).contiguous(memory_format=layout) for view in views]


def sides() -> dict[str, Callable[[Tensor, dict[str, Any]], Side]]:
    """What is timed, by name."""
    found = {"tagdag, whole batches": ours, "torchvision v2, tensors one by one": torchvisions}
    if _installed("lightly"):
        found["lightly, PIL images one by one"] = lightlys
    return found


def _installed(package: str) -> str:
    """Its version; empty where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def seconds(make: Side) -> float:
    """Of one batch, as the one thread worked: others of the machine do not count."""
    start = time.process_time()
    make()
    return time.process_time() - start


def timed(makers: dict[str, Side], runs: int) -> dict[str, list[float]]:
    """Seconds of each side's batches, interleaved; the first only warms up."""
    spent: dict[str, list[float]] = {name: [] for name in makers}
    for run in range(runs + 1):
        for name, make in makers.items():
            value = seconds(make)
            spent[name] += [value] if run else []
    return spent


def speeds(images: Tensor, settings: dict[str, Any], runs: int) -> Iterator[str]:
    """Lines of a table: images per second of each side, and how many times ours is as fast."""
    makers = {name: side(images, settings) for name, side in sides().items()}
    spent = timed(makers, runs)
    first = next(iter(spent))
    yield "| side | images/s | ours is as fast, times (min to max) |"
    yield "| --- | --- | --- |"
    for name, values in spent.items():
        ratios = sorted(b / a for a, b in zip(spent[first], values, strict=True))
        rate = len(images) / median(values)
        shown = f"{median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        yield f"| {name} | {rate:.0f} | {shown if name != first else ''} |"


def shares(images: Tensor, settings: dict[str, Any], runs: int) -> str:
    """Microseconds per image of ours, and how much less it takes without each operation."""
    makers = {"all": ours(images, settings)}
    for name, without in OPERATIONS.items():
        makers[name] = ours(images, settings | without)
    bare = {key: value for without in OPERATIONS.values() for key, value in without.items()}
    makers["crops and normalisation alone"] = ours(images, settings | bare)
    spent = timed(makers, 4 * runs)
    micro = {name: 1e6 * min(values) / len(images) for name, values in spent.items()}
    whole, alone = micro.pop("all"), micro.pop("crops and normalisation alone")
    parts = [f"{name} {max(0, whole - value):.0f}" for name, value in micro.items()]
    told = ", ".join([f"crops, flips and normalisation {alone:.0f}", *parts])
    return f"µs per image of ours: {whole:.0f}; {told}"


ABOUT = """Medians of {runs} interleaved runs, a batch each, after one to warm up, in one process of
one thread, by the time that it worked; a ratio is of batches that followed each other. Images are
decoded before. An operation's µs are of all views together: how much less the fastest batch takes
without it, so that they add up but roughly. The jitter is of 80 % of the views, greyscale of 20 %,
blur of half of them. At 32 px authors leave the blur out (`blur: [0]`); here it is in, on all sides
alike. Small views are of 3/7 of the side. Where a crop has more pixels than its view, the others
average over them (antialiasing), which ours leaves out. The load is that of the machine when the
last batch was made, this process in it: others take of the cache that all share."""


def main() -> None:
    """Print the tables, and write the page of results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the real data packs")
    parser.add_argument("--runs", type=int, default=5, help="batches of each side")
    parser.add_argument("--out", action="store_true", help="write benchmarks/results/views.md too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    packages = {name: _installed(name) for name in ("torchvision", "lightly", "pillow")}
    told = ", ".join(f"{name} {found or 'not installed'}" for name, found in packages.items())
    tables: list[str] = []
    for side, count in BATCHES.items():
        images = pictures(given.packs, side)
        for kind, settings in KINDS.items():
            tables += ["", f"## {side} px, batches of {count}: {kind}", ""]
            tables += [*speeds(images, settings, given.runs), ""]
            tables += [shares(images, settings, given.runs)]
    facts = {"peers": told, "load": f"{getloadavg()[1]:.1f}"}
    command = f"python -m benchmarks.views --runs {given.runs}{' --out' * given.out}"
    head = preamble("Views of pretraining without labels", command, **facts)
    text = "\n".join([*head, "", ABOUT.format(runs=given.runs), *tables]) + "\n"
    print(text)
    if given.out:
        (Path(__file__).parent / "results" / "views.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
