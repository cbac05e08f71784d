"""Videos in the layouts of sources: named by tables, in tars, in class folders, as folders of
frames, under s3://.
"""

import json
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.media.frametar import frame_places
from corpus.media.video import checked_video
from corpus.sources import s3, source
from corpus.sources.framefolders import PREFIX, in_order
from corpus.sources.rows import Refused
from corpus.sources.source import fetch, source_rows
from tests.corpus.media.test_video import GIF, png
from tests.support.encoded import drawn, film

MP4 = film(3)


@pytest.fixture
def put(tmp_path):
    def written(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return written


def read(where: Path | str, tmp_path: Path, kind: str = "clips") -> dict[str, tuple[str, str]]:
    """By id: (label or hashtags, ending of the video, or why there is none)."""
    found = {}
    for row in source_rows(where, None, kind, tmp_path / "spool"):
        said = row.fields.get("label") or " ".join(row.fields.get("hashtags", ()))
        try:
            told = row.reason or checked_video(fetch(row.locator)).ending
        except ValueError as error:
            told = str(error)
        found[row.fields["id"] or row.where] = said, told.split(":")[0]
    return found


def test_class_folders_hold_videos_and_folders_of_frames(put, tmp_path):
    put("own/dog/a.mp4", MP4)
    put("own/dog/deep/b.gif", film(3, **GIF))
    for number in (10, 9, 1):
        put(f"own/cat/walk/{number}.png", png(drawn(number)))
    put("own/cat/walk/notes.txt", b"seen on Monday")
    put("own/cat/loose.png", png(drawn(0)))
    put("own/cat/both/c.avi", film(3, container="avi", codec="mpeg4"))
    put("own/cat/both/thumbnail.png", png(drawn(0)))
    assert read(tmp_path / "own", tmp_path) == {
        "dog/a.mp4": ("dog", "mp4"),
        "dog/deep/b.gif": ("dog", "gif"),
        "cat/walk": ("cat", "frames.tar"),
        "cat/walk/notes.txt": ("cat", "unknown format"),
        "cat/loose.png": ("cat", "an image"),
        "cat/both/c.avi": ("cat", "avi"),
        "cat/both/thumbnail.png": ("cat", "an image"),
    }
    labels = {row.fields["id"] for row in source_rows(tmp_path / "own", None, "labels", tmp_path)}
    assert "cat/walk/9.png" in labels and "cat/walk" not in labels


@pytest.mark.parametrize("layout", ["{split}/{label}", "{label}/{split}"])
def test_folders_of_frames_below_splits(put, tmp_path, layout):
    for split, label in (("train", "dog"), ("train", "cat"), ("val", "dog"), ("val", "cat")):
        inside = layout.format(split=split, label=label)
        put(f"own/{inside}/v/1.jpg", png(drawn(0), "JPEG"))
        put(f"own/{inside}/w.mp4", MP4)
    rows = list(source_rows(tmp_path / "own", None, "clips", tmp_path))
    assert Counter((row.fields["label"], row.fields["split"]) for row in rows) == {
        ("dog", "train"): 2,
        ("cat", "train"): 2,
        ("dog", "val"): 2,
        ("cat", "val"): 2,
    }
    assert sum(row.locator.startswith(PREFIX) for row in rows) == 4


@pytest.mark.parametrize("column", ["video", "clip", "image", "file_name"])
def test_a_table_names_files_and_folders_of_frames(put, tmp_path, column):
    put("own/a.mp4", MP4)
    put("own/walk/f2.png", png(drawn(2)))
    put("own/walk/f10.png", png(drawn(10)))
    (tmp_path / "own/empty").mkdir()
    rows = ["a.mp4,dog", "walk,cat", "empty,cat", "none.mp4,cat", "../out.mp4,cat"]
    table = put("own/t.csv", "\n".join([f"{column},label", *rows]).encode())
    assert read(table, tmp_path) == {
        "a.mp4": ("dog", "mp4"),
        "walk": ("cat", "frames.tar"),
        "empty": ("cat", "a folder without a frame (an image that is no GIF)"),
        "none.mp4": ("cat", "file is missing"),
        "../out.mp4": ("", "path leaves the image folder"),
    }
    if column in ("video", "clip"):
        with pytest.raises(ValueError, match="lacks column image"):
            list(source_rows(table, None, "labels", tmp_path / "spool"))


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(put, tmp_path):
    for number in (1, 2, 10, 9):
        put(f"own/f{number}.png", png(drawn(number)))
    data = fetch(f"{PREFIX}:{tmp_path}/own")
    rate, places = frame_places(data)
    found = [data[offset : offset + size] for offset, size in places]
    assert found == [png(drawn(number)) for number in (1, 2, 9, 10)] and rate == ""
    names = ["b1", "a2", "a10", "a", "a02"]
    assert sorted(names, key=in_order) == ["a", "a02", "a2", "a10", "b1"]


def test_a_table_says_how_many_frames_a_second_a_folder_has(put, tmp_path):
    for number in range(6):
        put(f"own/walk/{number}.png", png(drawn(number)))
    table = put("own/t.csv", b"video,label,fps\nwalk,cat,12\nwalk/,dog,fast\n")
    rows = {row.fields["id"]: row for row in source_rows(table, None, "clips", tmp_path)}
    assert checked_video(fetch(rows["walk"].locator)).seconds == 0.5
    assert rows["walk/"].reason == "fps that is no number: 'fast'"


def test_no_link_leads_a_folder_of_frames_out(put, tmp_path):
    put("elsewhere/1.png", png(drawn(1)))
    put("own/walk/0.png", png(drawn(0)))
    (tmp_path / "own/walk/1.png").symlink_to(tmp_path / "elsewhere/1.png")
    table = put("own/t.csv", b"video,label\nwalk,cat\n")
    assert read(table, tmp_path)["walk"] == ("cat", "path leaves the image folder")


def test_tars_hold_videos_beside_what_is_said_of_them(put, tmp_path):
    members = {
        "a.mp4": MP4,
        "a.json": json.dumps({"hashtags": ["sea"]}).encode(),
        "a.jpg": png(drawn(0), "JPEG"),
        "b.unknown": film(3, container="matroska", codec="ffv1", pixels="bgr0"),
        "b.txt": b"#dog",
        "c.frames.tar": b"",
        "c.txt": b"#cat",
        "d.jpg": png(drawn(0), "JPEG"),
        "d.txt": b"#cat",
        "e.mp4": MP4[:99],
        "e.txt": b"#cat",
        "f.tar": b"x" * 99,
        "f.txt": b"#cat",
    }
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    shard = put("0.tar", out.getvalue())
    assert read(shard, tmp_path, "video_posts") == {
        "0/a": ("sea", "mp4"),
        "0/b": ("dog", "mkv"),
        "0/c": ("cat", "empty"),
        "0.tar d": ("", "no video"),
        "0/e": ("cat", "truncated"),
        "0.tar f": ("", "no video"),
    }
    images = read(shard, tmp_path, "posts")
    assert images["a.mp4"][1] == "an image of a format that is not read (.mp4)"


def test_a_table_holds_videos_themselves(tmp_path):
    values = [{"bytes": MP4, "path": "a.mp4"}, {"bytes": b"x", "path": "b.mp4"}]
    pq.write_table(pa.table({"video": values, "label": ["dog", "cat"]}), tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet", tmp_path)
    assert list(found.values()) == [("dog", "mp4"), ("cat", "unknown format")]


def test_a_prefix_of_s3_is_a_folder_of_frames(put, tmp_path, monkeypatch):
    objects = {f"s3://b/own/walk/{n}.png": png(drawn(n)) for n in (2, 10)}
    objects |= {"s3://b/own/walk/deep/3.png": b"", "s3://b/own/a.mp4": MP4}
    below = lambda url: (key for key in objects if key.startswith(url))  # noqa: E731
    monkeypatch.setattr(s3, "keys", below)
    monkeypatch.setattr(s3, "get", lambda url, most: objects[url])
    table = put("t.csv", b"video,label\nwalk/,cat\na.mp4,dog\n")
    rows = list(source_rows(table, "s3://b/own", "clips", tmp_path / "spool"))
    walk, single = (fetch(row.locator) for row in rows)
    assert len(frame_places(walk)[1]) == 2 and single == MP4


def test_too_much_of_a_folder_is_refused(put, tmp_path, monkeypatch):
    for number in range(3):
        put(f"own/{number}.png", png(drawn(number)))
    for name, most, fault in (("MOST", 2, "3 frames, allowed"), ("MAX_BYTES", 99, "99 bytes")):
        with monkeypatch.context() as patch:
            patch.setattr(f"corpus.sources.framefolders.{name}", most)
            with pytest.raises(Refused, match=fault):
                source.fetch(f"{PREFIX}:{tmp_path}/own")
