"""Videos from a source to what a training reads: imported, decoded once, listed where they are bad,
and all of that killed in the middle.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.reading.index import described_index
from corpus.reading.shards import Shards
from corpus.records.labelled import Label
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest, ingest_all
from corpus.store.read import STORE, read_store, shards_of
from corpus.store.side import CODES, code_slots, frame_bounds
from corpus.store.squares import open_store
from corpus.store.trial import try_all
from tests.corpus.media.test_video import BAD, GIF, LOSSLESS, png
from tests.corpus.store.test_ingest import files
from tests.support.corpora import build_with
from tests.support.encoded import drawn, film

TOP = Path(__file__).parents[2]


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A folder of classes with videos of several kinds and every bad one, and posts in a tar."""
    top = tmp_path_factory.mktemp("videos")
    for number in range(12):
        label, how = ("left", "right")[number % 2], [{}, LOSSLESS, GIF][number % 3]
        put(top / f"own/{label}/{number}.mp4", film(10 + number, 3 * number, **how))
    for number in (10, 9, 1, 2):
        put(top / f"own/left/walk/f{number}.png", png(drawn(number)))
    for number, (data, _) in enumerate(BAD.values()):
        put(top / f"own/right/bad{number}.mp4", data)
    with tarfile.open(top / "posts.tar", "w") as tar:
        for number in range(16):
            # the first repeats a labelled video, byte for byte
            video = (
                film(10) if number == 0 else film(40, number, container="webm", codec="libvpx-vp9")
            )
            about = json.dumps({"hashtags": ["sea", f"t{number % 2}"]}).encode()
            for name, data in ((f"{number:02}.webm", video), (f"{number:02}.json", about)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, BytesIO(data))
    return top


def rows(source: Path, place: Path) -> dict:
    found = {"targets/moves": source_rows(source / "own", None, "clips", place / "spool")}
    return found | {"posts": source_rows(source / "posts.tar", None, "video_posts", place / "s")}


@pytest.fixture(scope="module")
def built(source, tmp_path_factory) -> tuple[Path, dict]:
    top = tmp_path_factory.mktemp("built")
    kinds = {"kind": "clips", "posts_kind": "video_posts"}
    tried = try_all(rows(source, top), top / "data", top / "scratch", **kinds)
    done = ingest_all(rows(source, top), top / "data", **kinds)
    for name, result in done.items():
        assert tried[name].result == result._replace(digest=""), name
        assert len(tried[name].pictures) >= 8
    summary = build_with(top / "data", top / "out", top / "cache", min_posts=2, size=24)
    return top, done | {"summary": summary}


def test_bad_videos_are_refused_one_by_one_and_nothing_else_is_lost(built):
    top, done = built
    labels, summary = done["targets/moves"], done["summary"]
    late = [json.loads(line) for line in (top / "out/quarantine.jsonl").read_text().splitlines()]
    reasons = Counter(line["reason"].split(":")[0] for line in late)
    for reason, count in labels.refused.items():
        reasons[reason.split(":")[0]] += count
    assert reasons == Counter(kind for _, kind in BAD.values())
    assert len(late) == summary["bad_images"] and set(labels.refused) and late
    assert all(line["store"] == "targets/moves" and "/bad" in line["id"] for line in late)
    images = summary["images"]["targets/moves"]
    assert sum(images.values()) == 13, "12 videos and a folder of frames"
    assert labels.kept == 13 + len(late)


def test_the_store_keeps_files_as_they_were_posted(built, source):
    top, _ = built
    about = json.loads((top / f"data/posts/{STORE}").read_text())
    assert about["kind"] == "video_posts"

    stored = {
        record.id: (record, data) for record, data in read_store(top / "data/targets/moves", Label)
    }
    endings = Counter(record.image.split(".", 1)[1] for record, _ in stored.values())
    assert endings["frames.tar"] == 2 and endings["mkv"] >= 4 and endings["gif"] == 4
    for number in range(12):
        name = f"{('left', 'right')[number % 2]}/{number}.mp4"
        assert stored[name][1] == (source / "own" / name).read_bytes()
    with tarfile.open(fileobj=BytesIO(stored["left/walk"][1])) as tar:
        walk = [tar.extractfile(one).read() for one in tar]
    assert walk == [png(drawn(number)) for number in (1, 2, 9, 10)]


def test_what_is_built_is_read_as_clips(built):
    top, _ = built
    folder = top / "out/targets/moves"
    about = described_index(folder / "index.parquet")
    assert (about["size"], about["frame_rate"], about["kind"]) == (24, 30, "clips")
    seen = {}
    for split in ("train", "val", "test"):
        shards = Shards(folder, split)
        clips = shards.read(range(len(shards)), "clip", frames=3, place="even")
        for key, clip in zip(shards.ids, clips, strict=True):
            seen[key] = clip
    assert len(seen) == 13
    assert all(clip.shape == (1, 3, 24, 36, 3) for clip in seen.values())
    members = {}
    with tarfile.open(folder / "00000.tar") as tar:
        members = {one.offset_data: (one.name, one.size) for one in tar}
    for row in pq.read_table(folder / "index.parquet").to_pylist():
        name, size = members[row["offset"]]
        assert name.endswith(".mjpeg") and size == row["size"] == row["frame_ends"][-1]


def test_posts_that_repeat_a_labelled_video_are_dropped(built):
    top, done = built
    posts = pq.read_table(top / "out/hashtags/index.parquet")
    assert "00" not in {key.rpartition("/")[2] for key in posts["id"].to_pylist()}
    assert done["summary"]["posts"] == 16 and (top / "out/report.html").stat().st_size > 1000


def test_each_video_has_fingerprints_of_frames_a_second_apart(built):
    top, _ = built
    store = open_store("hashtags", top / "data/posts", 24, top / "cache")
    codes, ends, apart = store.side.frames
    assert (apart == 1).all()
    table = pa.concat_tables([one.table() for one in store.squares])
    assert len(ends) == len(table) == 16
    for row, slots in enumerate(map(len, table["frame_ends"].to_pylist())):
        mine = codes[ends[row - 1] if row else 0 : ends[row]]
        assert len(mine) == -(-slots // 30)
        frames = store.side.frame_pixels(np.full(len(mine), row), np.arange(len(mine)))
        assert frames.shape == (len(mine), 24, 24, 3)
        bounds = frame_bounds(np.array(table["frame_ends"][row].as_py()), slots // 2)
        start = table["offset"][row].as_py() + bounds[0]
        with (store.squares[0].tar).open("rb") as file:
            file.seek(start)
            assert store.side.jpeg(row) == file.read(bounds[1] - bounds[0])
    assert code_slots(89, 30).tolist() == [0, 30, 60]
    many = code_slots(30 * 300, 30)
    assert len(many) <= CODES and set(np.diff(many)) == {8 * 30} and many[0] == 0


def test_another_rate_makes_frames_anew_and_the_same_ones_are_taken_again(built, monkeypatch):
    top, _ = built
    monkeypatch.setattr("corpus.store.frames.stored_frames", lambda *given: pytest.fail("again"))
    same = open_store("hashtags", top / "data/posts", 24, top / "cache", frame_rate=30)
    monkeypatch.undo()
    half = open_store("hashtags", top / "data/posts", 24, top / "cache", frame_rate=15)
    counts = []
    for store in (same, half):
        ends = pa.concat_tables([one.table() for one in store.squares])["frame_ends"]
        counts.append(sum(map(len, ends.to_pylist())))
    assert counts == [16 * 40 - 30, (16 * 40 - 30) // 2]


@pytest.mark.parametrize(
    ("name", "asked", "fault"),
    [
        ("posts", "clips", "posts cannot be of the kind clips: choose one of posts, video_posts"),
        ("posts", "posts", "posts holds video_posts, and --posts-kind posts was asked for"),
        ("targets/moves", "labels", "targets/moves holds clips, and --kind labels was asked for"),
        ("targets/new", "video_posts", "targets/new cannot be of the kind video_posts: --posts"),
    ],
)
def test_a_store_is_of_one_kind(built, name, asked, fault):
    with pytest.raises(ValueError, match=fault):
        ingest([], built[0] / "data", name, kind=asked, posts_kind=asked)


def test_images_are_no_videos_and_videos_no_images(source, tmp_path):
    found = ingest(source_rows(source / "own", None, "labels", tmp_path), tmp_path, "targets/a")
    hint = "a video: import it with --kind clips (posts: --posts-kind video_posts)"
    assert (tmp_path / "quarantine.jsonl").read_text().count(hint) > 10
    # GIFs, whose first frame is an image; frames of a folder; images by another name
    assert found.kept == 4 + 4 + 2 + 2


COMMAND = """
import os, sys, time
from pathlib import Path
from corpus.store import frames, ingest, squares
from corpus.sources.source import source_rows

source, top = Path(sys.argv[1]), Path(sys.argv[2])
KINDS = {"kind": "clips", "posts_kind": "video_posts"}
load, stored = ingest.load_image, frames.stored_frames

def slow(function):
    def slowed(*given):
        time.sleep(0.02)
        return function(*given)
    return slowed

def imported(place):
    rows = {"targets/moves": source_rows(source / "own", None, "clips", place / "spool")}
    rows["posts"] = source_rows(source / "posts.tar", None, "video_posts", place / "spool2")
    ingest.ingest_all(rows, place / "data", shard_bytes=9000, threads=2, **KINDS)

def decoded(place):
    squares.open_store("targets/moves", place / "data/targets/moves", 24, place / "cache")

def killed(work, place, moment):
    pid = os.fork()
    if not pid:
        ingest.load_image, frames.stored_frames = slow(load), slow(stored)
        try:
            work(place)
        finally:
            os._exit(1)
    while not moment():
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise SystemExit("it ended before")
        time.sleep(0.001)
    os.kill(pid, 9)
    os.waitpid(pid, 0)

def many(folder, pattern, count):
    return lambda: len(list(folder.glob(pattern))) >= count

place = top / "killed"
killed(imported, place, many(place / "data/targets/.moves.part/shards", "*.tar", 2))
killed(imported, place, many(place / "data/.posts.part/shards", "*.tar", 3))
imported(place)
killed(decoded, place, many(place / "cache", "[0-9a-f]*", 2))
done = {path: path.stat().st_ino for path in (place / "cache").glob("[0-9a-f]*")}
decoded(place)
assert len(done) >= 2 and all(path.stat().st_ino == node for path, node in done.items())
imported(top / "whole")
decoded(top / "whole")
"""


def test_an_import_and_its_decoding_that_are_killed_go_on_to_the_same_bytes(source, tmp_path):
    command = [sys.executable, "-c", COMMAND, str(source), str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(TOP)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    assert len(shards_of(whole / "data/targets/moves")) > 3
    assert files(whole / "data") == files(killed / "data")
    found = [files(folder / "cache") for folder in (whole, killed)]
    assert found[0] == found[1] and len(found[0]) > 9
