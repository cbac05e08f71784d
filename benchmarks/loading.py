"""Training views per second: corpus shards against torchvision's ImageFolder and webdataset, all
on the same JPEGs.

`python -m benchmarks.loading --packs ../shared/data` takes photographs of 32 px (CIFAR-10), 64 px
(Tiny ImageNet) and mosaics of 256 px of the latter. Each side gives random resized crops, flipped
and normalised, as channels_last batches; the bare decoder decodes the same bytes from memory into
one array, and nothing else. One thread each unless told.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
import webdataset
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from benchmarks.jpegs import PACKS, sized, written
from corpus.media.decoding import decode
from corpus.reading.sampler import Sampler
from corpus.reading.shards import Shards
from engine.core.samples import Rows
from engine.measure.profile import device_name
from engine.training.loader import Loader
from models.blocks.augment.draws import Draws
from models.blocks.augment.views import CACHED, IMAGENET_MEAN, IMAGENET_STD, Views

BATCH, SCALE, RATIO = 128, (0.75, 1.0), (3 / 4, 4 / 3)
FOLDERS = {1: "ImageFolder, DataLoader", 2: "ImageFolder, DataLoader of 2 workers"}
BARE = "bare decode (simplejpeg)"
Epoch = Callable[[], Iterator[Tensor]]


def ours(shards: Shards) -> Epoch:
    """Views of one epoch, read in the thread that crops."""
    views = Views(SCALE, RATIO, 0.5)

    def epoch() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for indices in torch.randperm(len(shards), generator=generator).split(BATCH):
            yield views(shards.images(indices), Draws(generator))

    return epoch


def ahead(shards: Shards) -> Epoch:
    """Views of one epoch as the training loop makes them: the next batch is read in a second
    thread.
    """
    views = Views(SCALE, RATIO, 0.5)

    def epoch() -> Iterator[Tensor]:
        generator, steps = torch.Generator().manual_seed(0), len(shards) // BATCH
        shuffled = lambda generator: torch.randperm(len(shards), generator=generator)  # noqa: E731
        sampler = Sampler(shuffled, BATCH, seed=0)
        rows, cpu = Rows(shards, {"image": {}, "label": {}}), torch.device("cpu")
        for step in Loader(rows, sampler, steps, range(steps), cpu):
            yield views(step.batch["image"], Draws(generator))

    return epoch


def read(shards: Shards) -> Epoch:
    """Pixels of one epoch, not yet cropped."""
    return lambda: (shards.images(indices) for indices in torch.randperm(len(shards)).split(BATCH))


def bare(shards: Shards) -> Epoch:
    """The decoder alone, on bytes in memory."""
    photos = [shards.jpeg(i) for i in range(len(shards))]
    pixels = np.empty((shards.size, shards.size, 3), np.uint8)
    return lambda: (decode(photo, pixels)[None] for photo in photos)


def transform(size: int) -> v2.Compose:
    """torchvision's views of one image."""
    steps = [v2.RandomResizedCrop(size, SCALE, RATIO), v2.RandomHorizontalFlip(), v2.ToImage()]
    return v2.Compose(
        [*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    )


def torchvisions(folder: Path, size: int, workers: int) -> Epoch:
    """torchvision's ImageFolder, transforms and DataLoader."""
    images = torchvision.datasets.ImageFolder(folder, transform(size))
    return channels_last(
        DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    )


def webdatasets(folder: Path, size: int, workers: int) -> Epoch:
    """webdataset on our shards, with the same transforms."""
    urls = [str(path) for path in sorted(folder.glob("*.tar"))] * max(
        1, workers
    )  # a shard for each worker at least
    data = (
        webdataset.WebDataset(urls, shardshuffle=False).shuffle(1000).decode("pil").to_tuple("jpg")
    )
    data = data.map(lambda sample: (transforms(sample[0]),)).batched(BATCH)
    transforms = transform(size)
    return channels_last(
        webdataset.WebLoader(
            data, batch_size=None, num_workers=workers, persistent_workers=workers > 0
        )
    )


def channels_last(loader: DataLoader) -> Epoch:
    """Batches of a loader in the layout of ours."""
    return lambda: (batch[0].contiguous(memory_format=torch.channels_last) for batch in loader)


def rate(epoch: Epoch) -> float:
    """Images per second of one epoch."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in epoch())
    return images / (time.perf_counter() - start)


def sides(folder: Path, size: int) -> dict[str, tuple[int, Epoch]]:
    """Number of threads or processes that work, and an epoch, of each side."""
    anew = Shards(folder / "shards", "train", cache_mb=0, threads=1)
    return {
        BARE: (1, bare(anew)),
        FOLDERS[1]: (1, torchvisions(folder / "train", size, 0)),
        FOLDERS[2]: (2, torchvisions(folder / "train", size, 2)),
        "webdataset, WebLoader": (1, webdatasets(folder / "shards", size, 0)),
        "webdataset, WebLoader of 2 workers": (2, webdatasets(folder / "shards", size, 2)),
        "tagdag, read and decoded only": (1, read(anew)),
        "tagdag": (1, ours(anew)),
        "tagdag, next batch read in a second thread (training)": (2, ahead(anew)),
        "tagdag, from memory (training, where pixels fit)": (
            1,
            ours(Shards(folder / "shards", "train", 1 << 20)),
        ),
    }


def table(folder: Path, size: int, runs: int) -> Iterator[str]:
    """Lines of one size's table."""
    epochs = sides(folder, size)
    rates = {name: [] for name in epochs}
    for run in range(runs + 1):  # the first to warm up
        for name, (_, epoch) in epochs.items():
            value = rate(epoch)
            rates[name] += [value] if run else []
    yield f"\n{size} px\n"
    ratio, share = "ratio to ImageFolder of as many (min to max)", "share of bare decode"
    yield f"| side | threads | images/s | {ratio} | {share} |"
    yield "| --- | --- | --- | --- | --- |"
    for name, values in rates.items():
        threads = epochs[name][0]
        ratios = sorted(a / b for a, b in zip(values, rates[FOLDERS[threads]], strict=True))
        share = median(a / b for a, b in zip(values, rates[BARE], strict=True))
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        yield f"| {name} | {threads} | {median(values):.0f} | {spread} | {share:.2f} |"


def profile(folder: Path, runs: int) -> str:
    """Microseconds per image of each stage of ours, one thread."""
    shards = Shards(folder / "shards", "train", cache_mb=0, threads=1)
    order, views = torch.randperm(len(shards)), Views(SCALE, RATIO, 0.5)
    pixels, generator = shards.images(order[:BATCH]), torch.Generator().manual_seed(0)
    part = pixels[: max(1, CACHED // shards.size**2)]  # as views work on it
    stages = {
        "read": lambda: ([shards.jpeg(i)] for i in order.tolist()),
        "read and decode": read(shards),
        "crop, flip, normalise": lambda: (
            views(pixels, Draws(generator)) for _ in order.split(BATCH)
        ),
        "normalise alone": lambda: (views.plain(part) for _ in order.split(len(part))),
    }
    spent = {}
    for name, stage in stages.items():
        spent[name] = min(1e6 / rate(stage) for _ in range(runs))
    spent["decode"] = spent.pop("read and decode") - spent["read"]
    parts = ", ".join(f"{name} {value:.1f}" for name, value in sorted(spent.items()))
    return f"\nµs per image: {parts}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--packs", type=Path, default=Path("../shared/data"), help="folder of the real data packs"
    )
    parser.add_argument("--runs", type=int, default=5, help="epochs of each side, interleaved")
    parser.add_argument(
        "--count", type=int, default=5000, help="images of 32 and 64 px (an eighth of it at 256 px)"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(PACKS), choices=list(PACKS), metavar="PX"
    )
    parser.add_argument(
        "--out", action="store_true", help="write benchmarks/results/loading.md too"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    packages = ("torch", "torchvision", "webdataset", "simplejpeg", "pillow")
    about = f"Batches of {BATCH}, {options.runs} epochs each, interleaved; medians."
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    lines = [
        f"# Loading\n\n{about} {date.today()},",
        f"{device_name(torch.device('cpu'))}; {versions}",
    ]
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            written(Path(name), sized(options.packs, size, options.count), size)
            lines += [*table(Path(name), size, options.runs), profile(Path(name), options.runs)]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        (Path(__file__).parent / "results" / "loading.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
