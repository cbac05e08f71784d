"""benchmarks.video_loading: that its sides read the same frames, and what its tables say."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
from benchmarks.video_files import Videos, written
from benchmarks.video_loading import (
    PYAV,
    checked,
    codec_fault,
    shards_side,
    sides_of,
    table,
)
from benchmarks.video_training import training

VIDEOS = Videos(48, 32, 40, 3, 25)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[list[Path], Path]:
    return written(tmp_path_factory.mktemp("videos") / "here", VIDEOS)


def test_all_sides_read_the_same_frames_and_another_one_is_told(made):
    files, shards = made
    sides = sides_of(files, shards, VIDEOS.frames)
    assert len(sides) == (4 if codec_fault() else 6)
    checked(sides, VIDEOS, every=3)
    wrong = lambda videos, seed, every: shards_side(shards, 1)(videos, seed + 1, every)  # noqa: E731
    with pytest.raises(AssertionError):
        checked(sides | {"wrong": (1, wrong)}, VIDEOS, every=3)
    assert sorted(path.stat().st_size > 500 for path in files) == [True] * 3


def test_a_table_has_the_ratio_of_each_side_to_pyav_of_as_many_threads(made, monkeypatch):
    monkeypatch.setattr("benchmarks.video_loading.checked", lambda *_: None)
    # seconds of the rounds, PyAV and shards: 4 and 1; 1 and 2 in turn; 2 and 8
    for name, by in (("perf_counter", 1), ("process_time", 0.1)):
        clock = iter((by * np.cumsum([0, 4, 0, 1, 0, 2, 0, 1, 0, 2, 0, 8])).tolist())
        monkeypatch.setattr(f"time.{name}", partial(next, clock))
    read = lambda videos, seed, every: []  # noqa: E731
    lines = [*table(VIDEOS, 2, {f"{PYAV}, 1": (1, read), "shards, 1": (1, read)}, 8, 3)]
    ratio = "0.50 (0.25 to 4.00)"
    assert f"| shards, 1 | 4.0 | {ratio} | 25.0 | {ratio} |" in lines, lines
    assert "| PyAV, 1 | 4.0 | 1.00 (1.00 to 1.00) |" in lines[3] and "one in 2" in lines[0]


def test_a_training_is_timed(made, monkeypatch):
    monkeypatch.setattr("benchmarks.video_training.SIDE", 32)
    monkeypatch.setattr("benchmarks.video_training.BATCH", 2)
    (line,) = training(made[1], rounds=1)
    assert "clips/s of each alone: reading" in line and "waits for clips" in line
