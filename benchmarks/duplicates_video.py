"""Duplicate videos at scale: time and memory of the search by frames' fingerprints.

    python -m benchmarks.duplicates_video [--videos 20000 100000] [--out]

Random codes of ten frames a video: a tenth of the videos repeat another with up to 8 bits changed
in each frame, and a seventh begin with one title card. The pixels of candidates are not compared.
"""

import argparse
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from corpus.duplicates.videos import Films, films, repeated
from engine.core.cores import processor

RESULTS = Path(__file__).parent / "results/duplicates_video.md"
FRAMES, CHANGED = 10, 8


def drawn(videos: int) -> Films:
    """Such videos; the last tenth repeats the first."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, (videos, FRAMES, 2), np.uint64)
    copies = codes[-(videos // 10) :]
    copies[:] = codes[: videos // 10]
    for _ in range(CHANGED):
        copies[..., 0] ^= np.uint64(1) << rng.integers(0, 64, copies.shape[:2], np.uint64)
    codes[::7, 0] = 12345
    ends, rows = np.arange(1, videos + 1) * FRAMES, np.arange(videos)
    return films(codes.reshape(-1, 2), ends, np.ones_like(rows), codes[:, FRAMES // 2], rows)


def row(videos: int) -> str:
    """A line of the table; the pairs found have to be the copies."""
    made, cells = drawn(videos), []
    for mirror in (False, True):
        begun = time.process_time()
        found = repeated(made, mirror=mirror)
        cells.append(f"{time.process_time() - begun:.1f}")
        expected = 0 if mirror else videos // 10
        assert len(found.pairs) == expected, (len(found.pairs), expected)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    count = videos * FRAMES
    line = (f"{videos:,}", f"{count:,}", f"{videos // 10:,}", *cells, f"{memory:,.0f}")
    return "| " + " | ".join(line) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, nargs="+", default=[20_000])
    parser.add_argument("--out", action="store_true", help=f"write {RESULTS.name} too")
    given = parser.parse_args()
    about = f"{processor()}, one thread; numpy {np.__version__}; {datetime.now(UTC):%Y-%m-%d}"
    lines = ["# Duplicate videos at scale", "", f"{about}. All copies are found, and no other.", ""]
    lines += ["| videos | codes | copies | search, CPU s | mirrored, CPU s | peak MB |"]
    lines += ["| --- | --- | --- | --- | --- | --- |", *map(row, sorted(given.videos))]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
