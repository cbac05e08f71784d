"""Metadata of up to 10 million posts: ours against pandas, polars and duckdb, one job, equal
results, in one run.

`python -m benchmarks.scale --packs ../shared/data` writes posts with the frequency law of real ones
(scale_posts.py); each side, in a process of its own (scale_sides.py), normalises the hashtags, maps
them to names, counts posts per name, chooses the 8,500 most frequent, finds every post's classes
and repeat factor and writes the index as Parquet. The side `rules` is ours with the product's own
rules for names (words, misspellings) in place of the mapping that all share.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq

from benchmarks.scale_posts import Law, write
from engine.measure.profile import device_name

SIDES = (
    "tagdag",
    "pandas",
    "polars",
    "duckdb",
    "rules",
)  # rules: ours with all that the product does
Runs = dict[
    tuple[int, str], list[dict[str, float]]
]  # (posts, side) -> seconds and peak bytes of each run


def measured(
    side: str, packs: Path, source: Path, out: Path, timeout: int
) -> dict[str, float] | str:
    """Seconds and peak memory of one side, or why there are none."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale_sides",
        side,
        str(packs),
        str(source),
        str(out),
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"not done after {timeout} s"
    if run.returncode:
        return (
            "killed, out of memory"
            if run.returncode == -9
            else f"failed: {run.stderr.strip().splitlines()[-1]}"
        )
    return json.loads(run.stdout)


def result(out: Path, posts: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """Names with counts; per post its repeat factor and a number that its id and its classes
    give.
    """
    repeats, content = np.zeros(posts, np.float32), np.zeros(posts, np.float64)
    with pq.ParquetFile(out / "index.parquet") as file:
        for batch in file.iter_batches(1 << 17):
            rows, targets = batch["row"].to_numpy(), batch["targets"]
            sizes = np.diff(targets.offsets.to_numpy())
            classes = targets.flatten().to_numpy().astype(np.float64) + 2
            places = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            which = np.repeat(np.arange(len(rows)), sizes)
            content[rows] = np.bincount(which, classes**2 * (places + 1), minlength=len(rows))
            repeats[rows] = batch["repeats"].to_numpy()
            for i in (0, len(rows) // 2):
                assert batch["id"][i].as_py() == f"p{rows[i]}"
    return pq.read_table(out / "vocabulary.parquet").to_pydict(), repeats, content


def compare(
    posts: int, args: argparse.Namespace, law: Law, folder: Path, runs: Runs, notes: dict
) -> None:
    """All sides at one size, interleaved; AssertionError where results differ."""
    source = folder / "posts.parquet"
    write(law, posts, source)
    sides = [side for side in args.sides if side != "pandas" or posts <= args.pandas_max]
    repetitions = args.runs if posts < args.once_from else 1
    started, total = time.perf_counter(), repetitions * len(sides)
    for number in range(total):
        side = sides[number % len(sides)]
        found = measured(side, args.packs, source, folder / side, args.timeout)
        if isinstance(found, str):
            notes[posts, side] = found
            continue
        runs[posts, side].append(found)
        eta = (time.perf_counter() - started) / (number + 1) * (total - number - 1)
        said = f"{found['seconds']:.1f} s, {found['peak'] / 2**20:.0f} MiB"
        print(f"{posts:,} posts, {side}: {said}; {eta:.0f} s to go at this size", file=sys.stderr)
    first = None
    for side in (side for side in sides if (posts, side) in runs and side != "rules"):
        vocabulary, repeats, content = result(folder / side, posts)
        if first:
            assert vocabulary == first[0], f"{side} counts or chooses differently"
            np.testing.assert_array_equal(content, first[2], f"{side} has other classes")
            np.testing.assert_allclose(
                repeats, first[1], rtol=1e-6, err_msg=f"{side} has other repeat factors"
            )
        first = first or (vocabulary, repeats, content)
        shutil.rmtree(folder / side)


def table(
    runs: Runs, notes: dict[tuple[int, str], str], sizes: list[int], sides: list[str]
) -> Iterator[str]:
    """Markdown rows; a ratio is the side's seconds over ours of the same round."""
    ours = f"seconds / {sides[0]}'s (min to max)"
    yield f"| posts | side | us per post | of CPU time | peak memory, MiB | {ours} |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for posts in sizes:
        for side in sides:
            found = runs.get((posts, side))
            if not found:
                yield f"| {posts:,} | {side} | {notes.get((posts, side), 'not run')} | | | |"
                continue
            ratios = [
                a["seconds"] / b["seconds"]
                for a, b in zip(found, runs.get((posts, sides[0]), []), strict=False)
            ]
            ratio = (
                f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else ""
            )
            wall = median(run["seconds"] for run in found) / posts * 1e6
            cpu = median(run["cpu"] for run in found) / posts * 1e6
            peak = max(run["peak"] for run in found) / 2**20
            yield f"| {posts:,} | {side} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {ratio} |"


def plot(runs: Runs, sides: list[str], path: Path) -> None:
    """Seconds and peak memory over the number of posts, all axes logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (key, label, unit) in enumerate(
        (("seconds", "seconds", 1), ("peak", "peak memory, MiB", 2**20)), 1
    ):
        axes = figure.add_subplot(
            1, 2, number, xscale="log", yscale="log", xlabel="posts", ylabel=label
        )
        for side in sides:
            points = {}
            for (posts, own), found in sorted(runs.items()):
                if own == side:
                    points[posts] = median(run[key] for run in found) / unit
            axes.plot(list(points), list(points.values()), "o-", label=side)
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def report(args: argparse.Namespace, runs: Runs, notes: dict) -> str:
    """The text of the result file."""
    import torch

    versions = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "numpy", *SIDES[1:4]))
    lines = [
        f"{date.today()}; {device_name(torch.device('cpu'))}, {os.cpu_count()} cores; {versions};"
    ]
    lines += [
        f"medians of {args.runs} runs, interleaved (one from {args.once_from:,} posts on); "
        "results of all equal.\n"
    ]
    return "\n".join([*lines, *table(runs, notes, args.posts, args.sides)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--packs", type=Path, default=Path("../shared/data"), help="folder of hashtags.tar.xz"
    )
    parser.add_argument("--posts", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument(
        "--sides",
        nargs="+",
        default=list(SIDES),
        choices=SIDES,
        help="the first is the base of ratios",
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once-from", type=int, default=5 * 10**6, help="sizes that run once")
    parser.add_argument(
        "--pandas-max", type=int, default=10**7, help="posts above which pandas is not run"
    )
    parser.add_argument("--timeout", type=int, default=1800, help="seconds of one side")
    parser.add_argument("--folder", type=Path, help="where temporary files go")
    parser.add_argument("--out", type=Path, help="folder for scale.md and scale.png")
    args = parser.parse_args()
    if not (args.packs / "hashtags.tar.xz").is_file():
        cure = "give the folder of the real packs with --packs"
        sys.exit(f"error: no hashtags.tar.xz in {args.packs}: {cure}")
    law, runs, notes = Law(args.packs), defaultdict(list), {}
    for posts in args.posts:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            compare(posts, args, law, Path(folder), runs, notes)
    print(text := report(args, runs, notes))
    if args.out:
        plot(runs, args.sides, args.out / "scale.png")
        (args.out / "scale.md").write_text(
            f"{text}\n\n![seconds and memory over posts](scale.png)\n"
        )


if __name__ == "__main__":
    main()
