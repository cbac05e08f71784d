"""The stage corpus through 1, 2 and 4 workers, processes, Dask and Ray: same bytes, and how fast.

Posts with photographs' sizes (640 x 480, JPEG) are drawn into shards of 16 MB; every side builds
the whole corpus of them with no square images at hand. Ray is an extra: without it its sides are
left out.
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from corpus.kinds.posts import Post
from corpus.spread import Spread, in_turn
from corpus.store.write import write_store
from engine.core.cores import cores, processor
from engine.core.digest import digest

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "corpus_workers.md"
SIDES = ("threads", *(f"processes:{n}" for n in (1, 2, 4)), *("dask:2", "dask:4", "ray:2", "ray:4"))
SIZE, SHARD, WIDTH, HEIGHT = 64, 16 << 20, 640, 480
PACKAGES = {"processes": "multiprocessing", "dask": "distributed", "ray": "ray"}
TAGS = ("beach", "sunset", "dog", "cat", "city", "snow", "flower", "coffee", "bike", "mountain")


class Timed:
    """A Spread that notes how long its calls took, as seen from outside, and this process's CPU
    time by function.
    """

    def __init__(self, spread: Spread) -> None:
        self.spread, self.workers, self.seconds = spread, spread.workers, 0.0
        self.cpu: dict[str, float] = {}

    def map(
        self, function: Callable[..., Any], many: Sequence[tuple], told: Callable[[int], None]
    ) -> list[Any]:
        begun, cpu = time.perf_counter(), time.process_time()
        try:
            return self.spread.map(function, many, told)
        finally:
            self.seconds += time.perf_counter() - begun
            self.cpu[function.__name__] = (
                self.cpu.get(function.__name__, 0.0) + time.process_time() - cpu
            )


def photograph(rng: np.random.Generator) -> bytes:
    """Soft shapes under a grain, as a JPEG."""
    shapes = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    pixels = np.asarray(shapes.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-12, 13, (HEIGHT, WIDTH, 1), np.int16)
    out = BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return out.getvalue()


def posts(number: int) -> Iterator[tuple[Post, bytes]]:
    """Posts of one to four hashtags."""
    for i in range(number):
        rng = np.random.default_rng((0, i))
        tags = [TAGS[place] for place in rng.integers(0, len(TAGS), rng.integers(1, 5))]
        yield Post(id=f"p{i}", image=f"p{i}.jpg", hashtags=tags, user=f"u{i % 99}"), photograph(rng)
        if i % 500 == 499:
            print(f"{i + 1} of {number} posts drawn", file=sys.stderr)


def build(data: Path, work: Path, spread: Timed) -> None:
    """The stage corpus of the posts, with nothing at hand."""
    from corpus.build import build_corpus
    from corpus.store import squares
    from corpus.tags import tagging
    from tests.support.corpora import section

    # so that the tags of these few posts go through the workers too
    squares.FEW = tagging.FEW = 0
    shutil.rmtree(work, ignore_errors=True)
    settings = section(size=SIZE, min_posts=1)
    build_corpus(data, work / "out", work / "cache", settings, spread=spread)


def built(data: Path, work: Path, side: str) -> tuple[float, float, str, float]:
    """(seconds, those within what is spread, digest of all files, load) of one build."""
    from flows.running.executors import Executor

    kind, _, workers = side.partition(":")
    spread = Timed(in_turn if kind == "threads" else Executor(kind, int(workers)))
    begun = time.perf_counter()
    build(data, work, spread)
    seconds = time.perf_counter() - begun
    squared = hashlib.sha256(digest(work / "cache").encode() + digest(work / "out").encode())
    return seconds, spread.seconds, squared.hexdigest()[:16], os.getloadavg()[0]


def measured(data: Path, work: Path, sides: list[str], runs: int) -> dict[str, list[tuple]]:
    """All sides in turn, `runs` times."""
    found: dict[str, list[tuple]] = {side: [] for side in sides}
    for number in range(runs * len(sides)):
        side = sides[number % len(sides)]
        found[side].append(built(data, work, side))
        seconds, *_, load = found[side][-1]
        print(f"{side}: {seconds:.1f} s, load {load:.1f}", file=sys.stderr)
    return found


def profile(data: Path, work: Path, number: int) -> str:
    """What a post costs in CPU time, and the share of it that goes to workers: by one process."""
    begun = time.process_time()
    spread = Timed(in_turn)
    spread.workers = 2  # so that hashtags, too, are read shard by shard
    build(data, work, spread)
    total = time.process_time() - begun
    parts = {name: 1e3 * seconds / number for name, seconds in spread.cpu.items()}
    told = ", ".join(f"{name} {each:.3f}" for name, each in parts.items())
    share = sum(spread.cpu.values()) / total
    return (
        f"\nCPU time of one process, which other work on the machine changes little: "
        f"{1e3 * total / number:.2f} ms a post, of which {told}: {share:.0%} go to the workers, so "
        f"that many of them are {1 / (1 - share):.0f} times as fast at most with so few posts (the "
        "report's pictures take 2 s whatever the number)."
    )


def row(side: str, runs: list[tuple], number: int, base: float) -> str:
    """A side's line: medians."""
    seconds = median(total for total, *_ in runs)
    inside = median(spread for _, spread, *_ in runs)
    sums = {sum_ for _, _, sum_, _ in runs}
    load = median(load for *_, load in runs)
    return (
        f"| {side} | {seconds:.1f} | {number / seconds:.0f} | {base / seconds:.2f} | "
        f"{inside / seconds:.0%} | {load:.1f} | {', '.join(sorted(sums))} |"
    )


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


def report(found: dict[str, list[tuple]], number: int, shards: int, load: float) -> str:
    """The table as Markdown."""
    base = median(total for total, *_ in found[next(iter(found))])
    packages = ", ".join(_version(name) for name in ("distributed", "ray", "pillow", "numpy"))
    lines = [
        "# The corpus by several workers\n",
        f"{date.today()}; {processor()}, {cores()} cores, load {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after; {packages}; `python -m benchmarks.corpus_workers "
        f"--posts {number}`.\n",
        f"{number} posts of {WIDTH} x {HEIGHT} in {shards} shards to squares of {SIZE} px; "
        f"medians of {len(next(iter(found.values())))} runs, starting the workers included. "
        "`threads` is one process with two threads, as where there is one shard.\n",
        f"| workers | seconds | posts/s | {next(iter(found))} / this | spread | load | digest |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [row(side, runs, number, base) for side, runs in found.items()]
    sums = {sum_ for runs in found.values() for _, _, sum_, _ in runs}
    lines.append("\nAll digests are equal." if len(sums) == 1 else "\n**Digests differ.**")
    lines.append(
        "Spread: share of the time within what goes to the workers (images checked, made square, "
        "fingerprinted; hashtags read); the rest is one process: names, vocabulary, duplicates, "
        "index, report. Load: processes that wanted a core in the last minute, others' included."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw, build, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posts", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), help="the first is the base")
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    kinds = {side: side.partition(":")[0] for side in given.sides}
    missing = {k for k in kinds.values() if not importlib.util.find_spec(PACKAGES.get(k, "os"))}
    sides = [side for side in given.sides if kinds[side] not in missing]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        data, work = Path(folder, "data"), Path(folder, "work")
        write_store(data / "posts", posts(given.posts), shard_bytes=SHARD)
        shards = len(list((data / "posts").glob("*.tar")))
        found = measured(data, work, sides, given.runs)
        costs = profile(data, work, given.posts)
    text = report(found, given.posts, shards, load) + costs + "\n"
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")
    raise SystemExit(len({sum_ for runs in found.values() for _, _, sum_, _ in runs}) != 1)


if __name__ == "__main__":
    main()
