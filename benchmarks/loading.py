"""Training views per second: corpus shards with batched views against torchvision's ImageFolder with its transforms.

`python -m benchmarks.loading` needs `out/corpus` (make repro). Both sides read the same JPEGs in random order, with as
many threads, and give random resized crops, flipped and normalised, as one channels_last batch.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from corpus.shards import Shards
from engine.profile import device_name
from models.blocks.views import IMAGENET_MEAN, IMAGENET_STD, Views

BATCH, SCALE, RATIO = 128, (0.75, 1.0), (3 / 4, 4 / 3)


def ours(shards: Shards) -> Callable[[], Iterator[Tensor]]:
    """One epoch of views from the shards; the second time the decoded pixels are in memory, as in training."""
    views = Views(SCALE, RATIO, 0.5)

    def epoch() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for indices in torch.randperm(len(shards), generator=generator).split(BATCH):
            yield views(shards.images(indices), generator)

    return epoch


def torchvisions(folder: Path, workers: int) -> Callable[[], Iterator[Tensor]]:
    """One epoch of torchvision's ImageFolder, transforms and DataLoader."""
    steps = [v2.RandomResizedCrop(32, SCALE, RATIO), v2.RandomHorizontalFlip(), v2.ToImage()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    images = torchvision.datasets.ImageFolder(folder, v2.Compose(steps))
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)

    def epoch() -> Iterator[Tensor]:
        for batch, _ in loader:
            yield batch.contiguous(memory_format=torch.channels_last)

    return epoch


def rate(epoch: Callable[[], Iterator[Tensor]]) -> float:
    """Images per second of one epoch."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in epoch())
    return images / (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="epochs of each side, interleaved")
    runs = parser.parse_args().runs
    source = Path("out/corpus/hashtags")
    if not source.exists():
        sys.exit("error: no out/corpus: run `make repro` first")
    with tempfile.TemporaryDirectory() as folder:
        shards = Shards(source, "train", cache_mb=0)
        (Path(folder) / "all").mkdir()
        for i in range(len(shards)):
            (Path(folder) / "all" / f"{i:06d}.jpg").write_bytes(shards.jpeg(i))
        sides = {
            "torchvision ImageFolder + v2, 0 workers": torchvisions(Path(folder), 0),
            "torchvision ImageFolder + v2, 2 workers": torchvisions(Path(folder), 2),
            "tagdag shards, decoded anew": ours(shards),
            "tagdag shards, decoded once (default)": ours(Shards(source, "train")),
        }
        for epoch in sides.values():
            rate(epoch)
        rates = {name: [] for name in sides}
        for _ in range(runs):
            for name, epoch in sides.items():
                rates[name].append(rate(epoch))
    base = rates["torchvision ImageFolder + v2, 0 workers"]
    print(f"{len(shards)} JPEGs of {shards.size} px, batch {BATCH}, {runs} epochs each, interleaved; medians;")
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    print(f"{device_name(torch.device('cpu'))}; {versions}\n")
    print("| side | images/s | ratio (min to max) |\n| --- | --- | --- |")
    for name, values in rates.items():
        ratios = sorted(a / b for a, b in zip(values, base, strict=True))
        print(f"| {name} | {median(values):.0f} | {median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}) |")


if __name__ == "__main__":
    main()
