"""Tars as people have them."""

import gzip

from tests.support.layouts import FIFO, FOLDER, HEIC, Layout, Link, files, pairs, picture, tar

WEBDATASET = [
    *[
        ("000001.jpg", picture(1)),
        ("000001.cls", "3"),
        ("000001.npy", "x"),
        ("000001.seg.png", picture(7, "PNG")),
    ],
    *[("d/000002.png", picture(2, "PNG")), ("d/000002.cls", "4")],
    *[("__notes__", "x"), (".DS_Store", "x"), ("._000003.jpg", "x")],
    *[("000003.jpeg", picture(3)), ("000003.json", {"label": "sea"})],
]
DOTS = ["img.v2", "img.v3", "235342 Track 2.0 (x)", "ok", "v1.0/a.b.c", "[1].[2]", "猫.x"]
ENDINGS = [
    *pairs("a", ending="jfif"),
    *pairs("b", ending="jpe", first=1),
    *pairs("c", ending="JPG", first=2),
    *pairs("d", ending="jpg_large", first=3),
    *[("e", picture(4)), ("e.json", {"hashtags": "x1"})],
    *[("f.heic", HEIC), ("f.json", {"hashtags": "x1"})],
    *[("g.img", HEIC), ("g.txt", "#x1"), ("h.svg", "<svg/>")],
    *[("i.jfif", picture(5)), ("j.flac", "x"), ("j.json", {"hashtags": "x1"}), ("README", "x")],
    *[("k.bin", "x")],
]
APART = [("a.jpg", picture(0)), ("b.jpg", picture(1)), *pairs("c", first=2)]
APART += [("a.json", {"hashtags": "x1"}), ("b.json", {"hashtags": "x1"})]
PARTNERS = [
    *[("a.jpg", picture(0)), ("a.jpg.json", {"hashtags": "x1"})],
    *[("b.left.jpg", picture(1)), ("b.right.jpg", picture(2)), ("b.json", {"hashtags": "x1"})],
    *[("c.jpg", picture(3)), ("c.txt", "#x1"), ("c.boxes.json", [1])],
    *[("d.jpg", picture(4)), ("d.json", "{"), ("e.jpg", picture(5)), ("e.json", [])],
]
STRANGE = [
    *pairs("a"),
    *[("b.jpg", Link("a.jpg")), ("b.json", {"hashtags": "x1"}), ("c.jpg", FIFO)],
    *[("../d.jpg", picture(1)), ("/e.jpg", picture(2)), ("f.jpg", b""), ("f.txt", "#x1")],
    *[("g.jpg", picture(3)[:-40]), ("g.txt", "#x1"), *pairs("a", first=4)],
]
WITHOUT = {"an image of a format that is not read": 3, "no hashtag": 1, "no image": 2}
WITHOUT |= {"a name without an ending": 1}
ASIDE = {"0.parquet": "x", "0_stats.json": {}, ".x": "x", "notes.md": "x"}
FRAMES = pairs(*(f"film.{i:06d}" for i in range(300)))
FAILED = [("1.json", {"status": "failed_to_download", "error_message": "404"}), *pairs("2")]

TARS = {
    "webdataset": Layout(
        "labels",
        4,
        3,
        {"a second image of its key": 1},
        files({"t.tar": tar(WEBDATASET)}),
        "t.tar",
        left=4,
    ),
    "names with dots": Layout("posts", 7, 7, {}, files({"t.tar": tar(pairs(*DOTS))}), "t.tar"),
    "endings": Layout(
        "posts",
        12,
        5,
        WITHOUT,
        files({"t.tar": tar(ENDINGS)}),
        "t.tar",
        left=1,
    ),
    "images and texts apart": Layout(
        "posts", 5, 1, {"no hashtag": 2, "no image": 2}, files({"t.tar": tar(APART)}), "t.tar"
    ),
    "partners": Layout(
        "posts",
        6,
        3,
        {"a second image of its key": 1, "d.json is no JSON": 1, "e.json is no JSON object": 1},
        files({"t.tar": tar(PARTNERS)}),
        "t.tar",
        left=1,
    ),
    "strange members": Layout(
        "posts",
        8,
        1,
        {"a symbolic link": 1, "a FIFO": 1, "path leaves the archive": 2, "empty": 1}
        | {"truncated": 1, "duplicate id": 1},
        files({"t.tar": tar(STRANGE)}),
        "t.tar",
    ),
    "300 frames of one film": Layout("posts", 300, 300, {}, files({"t.tar": tar(FRAMES)}), "t.tar"),
    "img2dataset": Layout(
        "posts",
        3,
        1,
        {"no image": 1, "no tar shard": 1},
        files({"0.tar": tar(FAILED)} | ASIDE),
        left=3,
    ),
    "shards with dots": Layout(
        "posts",
        4,
        4,
        {},
        files({"a.0.tar": tar(pairs("1", "2")), "a.1.tar": tar(pairs("1", "2", first=2))}),
    ),
    "shards in folders": Layout(
        "labels",
        4,
        4,
        {},
        files({"train/0.tar": tar(pairs("1", "2")), "test/0.tar": tar(pairs("1", "2", first=2))}),
    ),
    "shards cut off and packed": Layout(
        "posts",
        4,
        2,
        {"the archive is cut off inside it": 1, "no tar header in the bytes from": 1},
        files(
            {
                "a.tar": tar(pairs("1", "2"))[:3200],
                "b.tgz": gzip.compress(tar(pairs("3", first=3))),
                "c.tar": b"<html>" * 300,
            }
        ),
    ),
    "shards that are none": Layout(
        "posts",
        4,
        1,
        {"no file": 2, "the archive ends without its end mark": 1},
        files({"0.tar": FOLDER, "1.tar": FIFO, "2.tar": b"", "3.tar": tar(pairs("1"))}),
    ),
}
