"""How fast videos come in and become frames, and what a minute of them takes on the disk.

Drawn videos (benchmarks/video_files.py) in class folders: imported as `version add` does it, then
decoded by the stage corpus at several sizes and frame rates, each in this process. Seconds are of
the clock; the memory is by how much the most that this process had at any time rose meanwhile.
`--out` writes the tables.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from av import __version__ as pyav

from benchmarks.store_rate import ROOT
from benchmarks.video_files import RATE, Videos, mp4
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest
from corpus.store.squares import open_store
from engine.core.cores import cores, processor

RESULT = ROOT / "benchmarks" / "results" / "video_import.md"
SIZES, RATES = (64, 128, 256), (30, 15)
MIB = 1 << 20


class Decoded(NamedTuple):
    """Frames of one size and rate: seconds that they took, how many are stored, their bytes."""

    size: int
    rate: int
    seconds: float
    frames: int
    bytes: int


def most_memory() -> float:
    """MiB that this process had at most until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drawn(folder: Path, videos: Videos) -> int:
    """Writes the videos in two class folders; their bytes."""
    rng, total = np.random.default_rng(0), 0
    for number in range(videos.count):
        path = folder / f"class {number % 2}" / f"{number:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mp4(rng, videos))
        total += path.stat().st_size
    return total


def imported(source: Path, data: Path) -> float:
    """Seconds of the import, every file probed."""
    begun = time.perf_counter()
    rows = source_rows(source, None, "clips", data / "spool")
    done = ingest(rows, data, "targets/drawn", kind="clips")
    assert not done.refused, done.refused
    return time.perf_counter() - begun


def decoded(data: Path, cache: Path, size: int, rate: int) -> Decoded:
    """The stage's frames of one size and rate."""
    shutil.rmtree(cache, ignore_errors=True)
    begun = time.perf_counter()
    store = open_store("targets/drawn", data / "targets/drawn", size, cache, frame_rate=rate)
    seconds = time.perf_counter() - begun
    table = pa.concat_tables([one.table() for one in store.squares])
    frames = sum(len(set(ends)) for ends in table["frame_ends"].to_pylist())
    return Decoded(size, rate, seconds, frames, sum(table["size"].to_pylist()))


def told(videos: Videos, posted: int, seconds: float, found: list[Decoded]) -> str:
    """The two tables."""
    minutes = videos.count * videos.frames / RATE / 60
    lines = [
        "| import | |\n| --- | --- |",
        f"| videos/s | {videos.count / seconds:.1f} |",
        f"| MB/s | {posted / 1e6 / seconds:.1f} |",
        f"| MiB a minute of video, as posted | {posted / MIB / minutes:.1f} |",
        "",
        "| size, px | frames/s kept | videos/s | frames stored/s | minutes of video/s "
        "| KiB a frame | MiB a minute of video |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        row = (
            one.size,
            one.rate,
            f"{videos.count / one.seconds:.2f}",
            f"{one.frames / one.seconds:.0f}",
            f"{minutes / one.seconds:.2f}",
            f"{one.bytes / 1024 / one.frames:.1f}",
            f"{one.bytes / MIB / minutes:.1f}",
        )
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--width", type=int, default=340)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    videos = Videos(given.width, given.height, given.seconds * RATE, given.videos, 250)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        with ProcessPoolExecutor(1, get_context("spawn")) as other:  # for what x264 holds
            posted = other.submit(drawn, top / "own", videos).result()
        before = most_memory()
        seconds = imported(top / "own", top / "data")
        made = product(SIZES, RATES)
        found = [decoded(top / "data", top / "cache", size, rate) for size, rate in made]
    peak = most_memory() - before
    command = f"python -m benchmarks.video_import --videos {given.videos} --seconds {given.seconds}"
    command += f" --width {given.width} --height {given.height}"
    head = [
        "# Videos imported and decoded\n",
        f"{date.today()}; {processor()}, {cores()} cores, load {os.getloadavg()[0]:.1f} at the "
        f"end; PyAV {pyav}; {videos.count} videos of {videos}; {peak:.0f} MiB of memory beside the "
        f"libraries'; "
        f"`{command}`.\n",
    ]
    text = "\n".join(head) + "\n" + told(videos, posted, seconds, found) + "\n"
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
