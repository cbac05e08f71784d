"""Clips per second from shards of JPEG frames, against decoding the videos themselves on the fly.

`python -m benchmarks.video_loading --out` draws videos, encodes them as people's files are, makes
shards of them and reads the same random clips of 8 frames from both: with PyAV, which goes to the
key frame before and decodes on from there, and with torchcodec where it is installed. That looks
for FFmpeg in the system, and is given the one in PyAV's wheel: `--codec FOLDER` is where
`uv pip install --target FOLDER --no-deps torchcodec` put it. Rounds are paired: every side reads
the clips of a round, then come those of the next.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch

from benchmarks.video_files import RATE, Videos, written
from benchmarks.video_training import training
from corpus.reading.clips import slots_of
from corpus.reading.shards import Shards
from engine.core.allocator import keep_freed_memory
from engine.measure.profile import device_name
from models.blocks.augment.draws import Draws

FRAMES, EVERY = 8, (2, 8)
SETS = (Videos(340, 256, 300, 6, 250), Videos(340, 256, 300, 6, 12), Videos(64, 64, 300, 12, 250))
PYAV = "PyAV"
LINKED = "VIDEO_LOADING_CODEC"  # set where the process was started with FFmpeg to be found
Side = Callable[[np.ndarray, int, int], list[np.ndarray]]  # videos, seed, every -> clips


def starts_of(count: int, videos: np.ndarray, seed: int, every: int) -> np.ndarray:
    """Slots int64 (n, FRAMES): those that a reader draws by this seed."""
    draws = Draws(torch.Generator().manual_seed(seed))
    return slots_of(np.full(len(videos), count), draws, FRAMES, every)[:, 0]


def shards_side(folder: Path, threads: int) -> Side:
    """Clips of shards."""
    shards = Shards(folder, "train", threads=threads)

    def side(videos: np.ndarray, seed: int, every: int) -> list[np.ndarray]:
        draws = Draws(torch.Generator().manual_seed(seed))
        clips = shards.read(videos, "clip", draws, frames=FRAMES, every=every)
        return [clip[0].numpy() for clip in clips]

    return side


def with_pyav(path: Path, slots: list[int]) -> np.ndarray:
    """Frames of a file: the key frame before the first of them, and on from there."""
    found: list[np.ndarray] = []
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "NONE"
        file.seek(int(slots[0] / RATE / stream.time_base), stream=stream)
        for frame in file.decode(stream):
            if round(frame.pts * stream.time_base * RATE) == slots[len(found)]:
                found.append(frame.to_ndarray(format="rgb24"))
                if len(found) == len(slots):
                    break
    return np.stack(found)


def with_torchcodec(path: Path, slots: list[int]) -> np.ndarray:
    """The same frames as torchcodec gives them."""
    from torchcodec.decoders import VideoDecoder

    about = {"dimension_order": "NHWC", "num_ffmpeg_threads": 1, "seek_mode": "approximate"}
    return VideoDecoder(str(path), **about).get_frames_at(slots).data.numpy()


def files_side(
    files: list[Path], count: int, threads: int, decode: Callable[[Path, list[int]], np.ndarray]
) -> Side:
    """Clips of the files, each decoded by one of so many threads."""
    pool = ThreadPoolExecutor(threads)

    def side(videos: np.ndarray, seed: int, every: int) -> list[np.ndarray]:
        slots = starts_of(count, videos, seed, every).tolist()
        paths = [files[video] for video in videos.tolist()]
        return list((map if threads == 1 else pool.map)(decode, paths, slots))

    return side


def codec_fault() -> str:
    """Why torchcodec cannot be used; empty where it can."""
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return str(error).strip().splitlines()[0]
    return ""


def sides_of(files: list[Path], folder: Path, count: int) -> dict[str, tuple[int, Side]]:
    """Number of threads, and what reads, of each side."""
    sides = {}
    for threads in (1, 2):
        sides[f"{PYAV}, {threads}"] = threads, files_side(files, count, threads, with_pyav)
        if not codec_fault():
            codec = files_side(files, count, threads, with_torchcodec)
            sides[f"torchcodec, {threads}"] = threads, codec
        sides[f"shards, {threads}"] = threads, shards_side(folder, threads)
    return sides


def checked(sides: dict[str, tuple[int, Side]], videos: Videos, every: int) -> None:
    """AssertionError unless all sides read the same frames: pixels differ by compression alone."""
    chosen = np.arange(videos.count)
    found = [np.stack(side(chosen, 0, every)).astype(int) for _, side in sides.values()]
    for other in found[1:]:
        assert other.shape == (videos.count, FRAMES, videos.height, videos.width, 3)
        near, far = abs(other - found[0]).mean(), abs(other[:, 1:] - found[0][:, :-1]).mean()
        assert near < 10 and near < far / 3, (near, far)


def table(
    videos: Videos, every: int, sides: dict[str, tuple[int, Side]], clips: int, rounds: int
) -> Iterator[str]:
    """Lines of one table: all sides on the same clips, round after round."""
    checked(sides, videos, every)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    rng, names = np.random.default_rng(1), list(sides)
    for number in range(rounds):
        chosen = rng.integers(0, videos.count, clips)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter(), time.process_time()
            sides[name][1](chosen, number, every)
            now = time.perf_counter(), time.process_time()
            spent[name].append((now[0] - started[0], now[1] - started[1]))
    yield f"\n{videos}; {FRAMES} frames, one in {every}\n"
    yield "| side, threads | clips/s | ratio | CPU ms per clip | PyAV's over it |"
    yield "| --- | --- | --- | --- | --- |"
    for name, times in spent.items():
        others = spent[f"{PYAV}, {sides[name][0]}"]
        wall, cpu = map(median, zip(*times, strict=True))
        ratios = [_spread(times, others, kind) for kind in (0, 1)]
        rate, ms = clips / wall, 1e3 * cpu / clips
        yield f"| {name} | {rate:.1f} | {ratios[0]} | {ms:.1f} | {ratios[1]} |"


def _spread(times: list[tuple[float, float]], others: list[tuple[float, float]], kind: int) -> str:
    """How many times as long the others took, round by round: median (min to max)."""
    ratios = sorted(b[kind] / a[kind] for a, b in zip(times, others, strict=True))
    return f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def measured(clips: int, rounds: int) -> Iterator[str]:
    """Lines of the whole page."""
    packages = ["torch", "av", "simplejpeg"] + ["torchcodec"] * (not codec_fault())
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    yield f"# Loading of clips\n\nRounds of {clips} random clips, {rounds} of each side, the same"
    yield "clips for all; medians. Ratios are to PyAV of as many threads, median (least to most of"
    yield "the rounds), of seconds and of CPU time, which a busy machine changes less. Files and"
    yield "shards are in memory."
    yield f"{date.today()}, {device_name(torch.device('cpu'))}; {versions}"
    if codec_fault():
        yield f"\ntorchcodec is not among the sides: {codec_fault()}"
    for number, videos in enumerate(SETS):
        with tempfile.TemporaryDirectory() as name:
            files, shards = written(Path(name) / "videos", videos)
            sides = sides_of(files, shards, videos.frames)
            for every in EVERY if not number else EVERY[:1]:
                yield from table(videos, every, sides, clips, rounds)
            weight = [sum(path.stat().st_size for path in files)]
            weight.append(sum(path.stat().st_size for path in shards.glob("*.tar")))
            yield f"\nMB: files {weight[0] / 1e6:.1f}, shards {weight[1] / 1e6:.1f}"
            if not number:
                yield from training(shards, rounds)


def started_again(codec: str) -> int:
    """Runs this benchmark in a process that finds FFmpeg's libraries in PyAV's wheel."""
    inside = Path(av.__file__).parents[1] / "av.libs"
    with tempfile.TemporaryDirectory() as name:
        for path in inside.glob("lib*.so.*"):
            stem, _, numbers = path.name.partition(".so.")
            link = f"{stem.rpartition('-')[0]}.so.{numbers.partition('.')[0]}"
            (Path(name) / link).symlink_to(path)
        places = {"LD_LIBRARY_PATH": f"{name}:{inside}", LINKED: "1"}
        path = os.pathsep.join([codec, os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "benchmarks.video_loading", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | places | {"PYTHONPATH": path}).returncode


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--clips", type=int, default=16, help="of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--codec", default="", metavar="FOLDER", help="where torchcodec is")
    parser.add_argument("--out", action="store_true", help="write benchmarks/results too")
    options = parser.parse_args()
    if options.codec and LINKED not in os.environ:
        sys.exit(started_again(options.codec))
    keep_freed_memory()  # as trainings do
    lines = []
    for line in measured(options.clips, options.rounds):
        print(line, flush=True)
        lines.append(line)
    if options.out:
        page = Path(__file__).parent / "results" / "video_loading.md"
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
