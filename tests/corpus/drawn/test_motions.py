"""Drawn videos of moving shapes: what a single frame cannot tell, and the bytes of the set."""

import csv
import hashlib
import io
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2_contingency, chisquare

from corpus.drawn.motions import (
    FILM,
    LABEL,
    MOTIONS,
    Film,
    encoded,
    label_videos,
    post_videos,
    shot,
    write_source,
)
from corpus.drawn.motiontags import FORMS, motion_synonyms
from corpus.drawn.moving import (
    ACROSS,
    CYCLE,
    DOWN,
    FACING,
    FASTEST,
    SIZED,
    TURNED,
    Pair,
    states_from,
)
from corpus.reading.shards import Shards
from corpus.records.cells import cell_tags
from corpus.sources.source import source_rows
from corpus.sources.users import stream
from corpus.store.ingest import ingest
from corpus.store.squares import open_store
from corpus.targets import write_labelled

av = pytest.importorskip("av")  # training needs none
ROOT = Path(__file__).parents[3]
BRIEF = Film(frames=12)
SHA = "00a2320d2fa4d4db"  # of states and pixels below: others are another set


def decoded(data: bytes) -> np.ndarray:
    """The frames of a video, uint8 (n, h, w, 3)."""
    with av.open(io.BytesIO(data)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_ten_classes_are_five_motions_and_their_opposites():
    directions = {(motion.axis, motion.sign) for motion in MOTIONS}
    assert directions == {(axis, sign) for axis in range(5) for sign in (-1, 1)}
    assert len({motion.name for motion in MOTIONS}) == 10
    # half a cycle from frame to frame would be both directions at once, also of every 4th frame
    assert 4 * 2 * FASTEST < CYCLE


def test_the_first_frame_is_drawn_before_the_motion_is_looked_at():
    """So that the same random numbers give the same first frame, whatever the class."""
    for index in range(5):
        shots = [shot(stream(0, 99, index), motion, BRIEF) for motion in MOTIONS]
        firsts = [one.pair.frames(one.states[:1]) for one in shots]
        assert all(np.array_equal(firsts[0], first) for first in firsts)
        assert {tuple(one.states[0]) for one in shots} == {tuple(shots[0].states[0])}
        turns = [(one.states[1] - one.states[0] + CYCLE // 2) % CYCLE - CYCLE // 2 for one in shots]
        speeds = {int(abs(turn).sum()) for turn in turns}
        assert len(speeds) == 1
        for motion, turn in zip(MOTIONS, turns, strict=True):
            assert np.sign(turn).tolist() == [motion.sign * (a == motion.axis) for a in range(5)]


def test_later_frames_have_each_state_once_for_each_first_one():
    """A uniform state stays uniform: a motion maps the values of its number one to one."""
    start = np.zeros((5,), int)
    for motion in MOTIONS:
        ends = []
        for value in range(CYCLE):
            start[motion.axis] = value
            ends.append(states_from(start, motion.axis, motion.sign * 37, 32)[-1, motion.axis])
        assert sorted(ends) == [*range(CYCLE)]
        start[motion.axis] = 0


def test_a_video_backwards_is_one_of_the_opposite_class_with_the_same_frames():
    for first, second in zip(MOTIONS[::2], MOTIONS[1::2], strict=True):
        assert first.axis == second.axis and first.sign == -second.sign
        one = shot(stream(0, 98, first.axis), first, BRIEF)
        step = one.states[1] - one.states[0]
        back = states_from(one.states[-1], second.axis, -int(step[first.axis]), BRIEF.frames)
        assert np.array_equal(back, one.states[::-1])
        assert np.array_equal(one.pair.frames(back), one.pixels()[::-1])


def tables(states: np.ndarray, motion: np.ndarray) -> list[float]:
    """p of each number of states (n, 5) being distributed alike in all classes, in eight bins."""
    found = []
    for axis in range(5):
        table = np.zeros((len(MOTIONS), 8))
        np.add.at(table, (motion, states[:, axis] * 8 // CYCLE), 1)
        found.append(chi2_contingency(table).pvalue)
    return found


def test_states_are_distributed_alike_in_all_classes_at_any_time():
    for seed in (0, 1):
        motion = np.arange(2000) % len(MOTIONS)
        shots = [shot(stream(seed, 97, i), MOTIONS[m], Film(16)) for i, m in enumerate(motion)]
        states = np.stack([one.states for one in shots])
        for time in (0, 11, 31):
            assert min(tables(states[:, time], motion)) > 1e-3
            for axis in range(5):
                bins = np.bincount(states[:, time, axis] * 16 // CYCLE, minlength=16)
                assert chisquare(bins).pvalue > 1e-3
        # a shape that stops at the edge, and does not come in on the other side, would be told
        steps = np.diff(states[:, :2].astype(int), axis=1)[:, 0]
        steps = (steps + CYCLE // 2) % CYCLE - CYCLE // 2
        stopped = np.clip(states[:, 0] + 31 * steps, 0, CYCLE - 1)
        assert min(tables(stopped, motion)) < 1e-9


def marked(state: dict[int, int]) -> np.ndarray:
    """bool (2, 64, 64): where two discs of this state are, and the front of the first."""
    pair = Pair(stream(0, 96), 64)
    pair.shapes, pair.offsets, pair.light = ["circle", "circle"], [0, 0], 1.0
    pair.ground[:], pair.shades = 0, [np.full(3, 240.0), np.full(3, 60.0)]
    states = np.array([[state.get(axis, CYCLE // 2) for axis in range(5)]])
    frame = pair.frames(states)[0, ..., 0]
    return np.stack([frame > 0, frame > 120])


def middle(mask: np.ndarray) -> np.ndarray:
    """x and y of the pixels of a mask."""
    return np.argwhere(mask).mean(0)[::-1]


def test_motions_are_what_their_names_say():
    quarter, half = CYCLE // 4, CYCLE // 2
    x, y = middle(marked({})[0])
    assert middle(marked({ACROSS: half + 100})[0])[0] > x + 3  # to the right
    assert middle(marked({DOWN: half + 100})[0])[1] > y + 3
    assert marked({SIZED: half + 300})[0].sum() > 1.3 * marked({SIZED: half})[0].sum()
    # the first shape, at the right of the other, goes below it: as the hand of a clock
    right, below = (middle(marked({FACING: angle})[1]) for angle in (0, quarter))
    assert right[0] > x + 8 and abs(right[1] - y) < 3 and below[1] > y + 8
    # its front, which shows to the right, then shows down
    for angle, axis in ((0, 0), (quarter, 1)):
        whole = marked({FACING: 0, TURNED: angle})
        own = whole[0].copy()
        own[:, :32] = False  # the other shape's half
        shift = middle(whole[1]) - middle(own)
        assert shift[axis] > 1.5 and abs(shift[1 - axis]) < 0.7


def test_what_leaves_on_one_side_comes_in_on_the_other():
    pair = Pair(stream(0, 95), 32)
    pair.ground[:] = 40  # one that is alike everywhere
    states = np.array([[0, 0, 5, 900, 77], [CYCLE // 4, CYCLE // 2, 5, 900, 77]])
    first, second = pair.frames(states)
    assert np.array_equal(np.roll(first, (16, 8), (0, 1)), second)


def test_a_frame_is_compressed_alike_whatever_is_around_it():
    frames = shot(stream(0, 94), MOTIONS[0], Film(32, 10)).pixels()
    order = np.random.default_rng(0).permutation(10)
    whole, shuffled = decoded(encoded(frames, 15)), decoded(encoded(frames[order], 15))
    assert np.array_equal(whole[order], shuffled) and whole.shape == frames.shape
    assert abs(whole.astype(int) - frames).mean() < 4
    with av.open(io.BytesIO(encoded(frames, 15))) as file:
        video = file.streams.video[0]
        assert video.average_rate == 15 and all(packet.is_keyframe for packet in _packets(file))


def _packets(file):
    return [packet for packet in file.demux(video=0) if packet.size]


def test_the_bytes_are_the_same_and_more_begin_with_them():
    first = [*islice(post_videos(0, 6, BRIEF), 4)], [*islice(label_videos(0, 2, BRIEF), 12)]
    again = [*post_videos(0, 4, BRIEF)], [*islice(label_videos(0, 3, BRIEF), 12)]
    assert first == again and [*post_videos(1, 4, BRIEF)] != first[0]
    pixels = shot(stream(0, 93), MOTIONS[4], BRIEF).pixels()
    assert hashlib.sha256(pixels.tobytes()).hexdigest().startswith(SHA)


def test_posts_say_what_moves_and_much_else(monkeypatch):
    monkeypatch.setattr("corpus.drawn.motions.encoded", lambda frames, rate: b"")
    monkeypatch.setattr(Pair, "frames", lambda self, states: None)
    posts = [row for row, _ in post_videos(0, 1500, FILM)]
    said = [{*cell_tags(row["hashtags"].casefold())} for row in posts]
    assert all(said)
    known = {}
    for name, languages in FORMS.items():
        known |= dict.fromkeys(chain.from_iterable(languages), name)
    names = [set(map(known.get, tags & known.keys())) for tags in said]
    # as under real posts most say something of it, some nothing, and other words are more
    share = np.mean([bool(each) for each in names])
    assert 0.8 < share < 0.98 and set().union(*names) == {*FORMS}
    assert 3 < np.mean([len(tags) for tags in said]) < 7
    both = sum({"left", "right"} <= each for each in names)
    assert both < 20 and motion_synonyms()["izquierda"] == "left"


def test_the_command_writes_two_tables_and_their_videos(tmp_path):
    command = [sys.executable, "-m", "corpus.drawn.motions", str(tmp_path / "here"), "--posts", "3"]
    command += ["--per-class", "1", "--size", "16", "--frames", "4", "--rate", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "add --kind clips --target motions --labels" in done.stdout
    for name, count in (("posts", 3), ("labels", 40)):
        folder = tmp_path / "here" / name
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = [*csv.DictReader(file)]
        assert len(rows) == count
        assert {row["video"] for row in rows} == {path.name for path in folder.glob("*.mp4")}
        assert decoded((folder / rows[0]["video"]).read_bytes()).shape == (4, 16, 16, 3)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and "is not empty; name another folder" in again.stderr


def test_the_tables_are_imported_and_read_as_clips(tmp_path):
    write_source(tmp_path / "source", 5, 1, 0, Film(32, 6))
    table = tmp_path / "source" / "posts" / "posts.csv"
    rows = source_rows(table, None, "video_posts", tmp_path / "spool")
    result = ingest(rows, tmp_path / "data", "posts", posts_kind="video_posts")
    assert result.kept == 5 and not result.refused
    place, table = "targets/motions", tmp_path / "source" / "labels" / "labels.csv"
    rows = source_rows(table, None, "clips", tmp_path / "spool")
    result = ingest(rows, tmp_path / "data", place, kind="clips")
    assert result.kept == 40 and not result.refused
    size, cache = 24, tmp_path / "cache"
    store = open_store(place, tmp_path / "data" / place, size, cache, frame_rate=30)
    write_labelled(store, tmp_path / "shards", {"val": 0.0, "test": 0.0})
    shards = Shards(tmp_path / "shards", "train")
    assert len(shards) == 10 and shards.size == 24 and shards.frame_rate == 30
    assert shards.names == sorted(motion.name for motion in MOTIONS)
    clips = shards.read(range(10), "clip", frames=6, every=2, place="centre")
    for row, label in enumerate(shards.read(range(10), "label").tolist()):
        number = next(i for i, motion in enumerate(MOTIONS) if motion.name == shards.names[label])
        drawn = shot(stream(0, LABEL, 0, number), MOTIONS[number], Film(32, 6)).pixels()
        for frame, pixels in zip(clips[row][0].numpy(), drawn, strict=True):
            small = Image.fromarray(pixels).resize((24, 24), Image.Resampling.BOX)
            assert abs(np.asarray(small, float) - frame).mean() < 12


def test_a_size_that_no_video_has_is_told(tmp_path):
    for film in (Film(size=31), Film(frames=0), Film(size=8)):
        with pytest.raises(ValueError, match="give an even size of 16 px or more"):
            write_source(tmp_path / "none", 1, 1, 0, film)
    assert not (tmp_path / "none").exists()
