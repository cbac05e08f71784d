"""Annotated objects through the stage corpus and read again: seconds, bytes and memory.

`python -m benchmarks.object_shards --images 2000 --size 640` draws so many images of 640 x 480 with
8 polygons each into a temporary folder (one image, other objects), makes their shards and reads
them in a process of its own; `--times 59` has it read an index that is so many times as long, of
COCO's size. Times are those of one core.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from corpus.reading.index import INDEX
from corpus.records.objects import Scene, Thing
from corpus.store.squares import open_store
from corpus.store.write import write_store
from corpus.targets import write_labelled

WIDTH, HEIGHT, OBJECTS = 640, 480, 8
LISTS = ("boxes", "box_label", "box_crowd", "box_area", "masks")
READ = """
import sys, time
from pathlib import Path
import numpy as np
from corpus.reading.shards import Shards

def memory():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))
long, short = (Shards(Path(folder), "train") for folder in sys.argv[1:3])
told, base = [], memory()
for part in (sys.argv[3:-1], sys.argv[-1:]):
    started = time.perf_counter()
    for column in part:
        long.lists(column)
    told += [memory() - base, time.perf_counter() - started]
rows = np.random.default_rng(0).permutation(len(short))[:320]
for column in ("image", "boxes", "masks"):
    short.read(rows[:1], column)
    started = time.process_time()
    for first in range(0, len(rows), 16):
        short.read(rows[first : first + 16], column)
    told.append(1e3 * (time.process_time() - started) / len(rows))
print(len(long), *told)
"""


def scenes(count: int) -> Iterator[tuple[Scene, bytes]]:
    """Records with their image."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    buffer = BytesIO()
    noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    for number in range(count):
        things = [_thing(rng, place) for place in range(OBJECTS)]
        name = f"{number:06d}"
        scene = Scene(id=name, image=f"{name}.jpg", width=WIDTH, height=HEIGHT, objects=things)
        yield scene, buffer.getvalue()


def _thing(rng: np.random.Generator, place: int) -> Thing:
    """A jagged shape of 10 to 60 points."""
    radius, points = int(rng.integers(10, 120)), int(rng.integers(10, 60))
    middle = rng.integers(radius, (WIDTH - radius, HEIGHT - radius))
    angles = 2 * np.pi * np.sort(rng.random(points))
    far = radius * (0.6 + 0.4 * rng.random(points))
    outline = middle + np.stack([far * np.cos(angles), far * np.sin(angles)], 1)
    low, high = outline.min(0), outline.max(0)
    box = (*low.tolist(), *(high - low).tolist())
    polygon = outline.round(2).ravel().tolist()
    return Thing(id=place, label=f"c{place}", box=box, area=radius**2, polygons=[polygon])


def measure(images: int, size: int, times: int) -> list[str]:
    """Lines of what was measured."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        write_store(top / "store", scenes(images), kind="boxes")
        started = time.process_time()
        store = open_store("targets/drawn", top / "store", size, top / "cache")
        stored = time.process_time()
        write_labelled(store, top / "short", {"val": 0.0, "test": 0.0})
        listed = time.process_time()
        table = pq.read_table(top / "short" / INDEX, partitioning=None)
        (top / "long").mkdir()
        with pq.ParquetWriter(top / "long" / INDEX, table.schema, compression="zstd") as file:
            for _ in range(times):
                file.write_table(table)
        command = [sys.executable, "-c", READ, str(top / "long"), str(top / "short"), *LISTS]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        bytes_ = (top / "long" / INDEX).stat().st_size
    count, boxes, _, masks, took, *each = map(float, done.stdout.split())
    build = 1e3 * (stored - started) / images, 1e3 * (listed - stored) / images
    return [
        f"{images:,} images at {size} px: {build[0]:.1f} ms an image, its lists {build[1]:.2f} ms",
        "read, ms an image: " + "image {:.2f}, boxes {:.3f}, masks {:.2f}".format(*each),
        f"an index of {count:,.0f} images, {bytes_ / 1e6:,.0f} MB: boxes, classes and areas hold "
        f"{boxes:,.0f} MB, with masks {masks:,.0f} MB at the most, after {took:.1f} s",
    ]


def main() -> None:
    """Command line of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--images", type=int, default=2000, metavar="N")
    parser.add_argument("--size", type=int, default=640, metavar="PX", help="corpus.size")
    parser.add_argument("--times", type=int, default=59, metavar="N", help="length of the index")
    given = parser.parse_args()
    print("\n".join(measure(given.images, given.size, given.times)))


if __name__ == "__main__":
    main()
