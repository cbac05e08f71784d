"""Folders, tables and tars as people have them, each with what a person would count in it."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, PngImagePlugin

Files = dict[str, Any]


class Link(str):
    """The target of a symbolic link."""


FIFO, FOLDER = object(), object()


class Layout(NamedTuple):
    """`rows`: images or rows that a person counts; `added` of them; why not the others; the rest."""

    kind: str
    rows: int
    added: int
    refused: dict[str, int]
    build: Callable[[Path], Any]
    source: str = ""  # below the folder
    images: str | None = None  # --images, below the folder
    left: int = 0  # what nobody means to post


@cache
def picture(seed: int, form: str = "JPEG") -> bytes:
    """A small image of noise, another one for each seed."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def wordy(seed: int) -> bytes:
    """A PNG with 2 MB of text."""
    out, about = io.BytesIO(), PngImagePlugin.PngInfo()
    about.add_text("workflow", "x" * (2 << 20), zip=True)
    Image.open(io.BytesIO(picture(seed, "PNG"))).save(out, "PNG", pnginfo=about)
    return out.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


def images(*names: str, first: int = 0) -> Files:
    """An image under each name."""
    return {name: picture(first + i) for i, name in enumerate(names)}


def tree(root: Path, files: Files) -> None:
    """Makes them: bytes, text, links, FIFOs, folders; {} and [] as JSON."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is FOLDER:
            path.mkdir()
        elif data is FIFO:
            os.mkfifo(path)
        elif isinstance(data, Link):
            path.symlink_to(data.replace("ROOT", str(root)))
        else:
            path.write_bytes(packed(data))


def packed(data: Any) -> bytes:
    """A member's or file's bytes."""
    if isinstance(data, (dict, list)):
        data = json.dumps(data)
    return data.encode() if isinstance(data, str) else data


def files(these: Files) -> Callable[[Path], None]:
    """A layout of files."""
    return lambda root: tree(root, these)


def table(name: str, text: str, these: Files) -> Callable[[Path], None]:
    """A text table beside its images; ROOT in it is the folder."""

    def build(root: Path) -> None:
        tree(root, these)
        data = text.replace("ROOT", str(root)).encode()
        tree(root, {name: gzip.compress(data) if name.endswith(".gz") else data})

    return build


def parquet(path: str, columns: dict[str, Any], features: dict | None = None) -> bytes:
    """The bytes of a Parquet file, with Hugging Face's description of its columns."""
    made = pa.table(columns)
    if features:
        about = {"info": {"features": features}}
        made = made.replace_schema_metadata({"huggingface": json.dumps(about)})
    out = io.BytesIO()
    pq.write_table(made, out)
    return out.getvalue()


def tar(members: list[tuple[str, Any]]) -> bytes:
    """The bytes of a tar; a Link or FIFO is a member of that type."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, Link):
                info.type, info.linkname, data = tarfile.SYMTYPE, str(data), b""
            elif data is FIFO:
                info.type, data = tarfile.FIFOTYPE, b""
            data = packed(data)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pairs(*stems: str, ending: str = "jpg", first: int = 0) -> list[tuple[str, Any]]:
    """An image and its JSON under each stem."""
    members: list[tuple[str, Any]] = []
    for number, stem in enumerate(stems, first):
        members.append((f"{stem}.{ending}", picture(number)))
        members.append((f"{stem}.json", {"hashtags": ["sea"], "label": "sea"}))
    return members


# tables

NAMES = "image,hashtags\n"
HF = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "image": {"_type": "Image"}}
CIFAR = {"fine": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "img": {"_type": "Image"}}
STRUCTS = [
    {"bytes": picture(0), "path": "0.jpg"},
    {"bytes": picture(1), "path": "0.jpg"},
    {"bytes": picture(2), "path": None},
    {"bytes": None, "path": "here.jpg"},
    {"bytes": b"", "path": "0.jpg"},
    None,
]
BYTES = [picture(i) for i in range(4)] + [HEIC]


def hf(count: int, first: int, label: int = 0) -> bytes:
    """A part of labelled images as Hugging Face writes it."""
    cells = [{"bytes": picture(first + i), "path": "x.png"} for i in range(count)]
    return parquet("", {"image": cells, "label": [label] * count}, HF)


TABLES = {
    "names in folders": Layout(
        "posts", 2, 2, {}, table("m.csv", NAMES + "a.jpg,x1\nd/b.jpg,x1\n", images("a.jpg", "d/b.jpg")), "m.csv"
    ),
    "absolute paths": Layout(
        "posts",
        3,
        2,
        {"path leaves the image folder": 1},
        table(
            "m.csv",
            NAMES + "ROOT/in/a.jpg,x1\nROOT/in/d/../b.jpg,x1\nROOT/out.jpg,x1\n",
            images("in/a.jpg", "in/b.jpg", "out.jpg"),
        ),
        "m.csv",
        "in",
    ),
    "up and down": Layout(
        "posts",
        4,
        3,
        {"path leaves the image folder": 1},
        table(
            "in/m.csv",
            NAMES + "x/../5.jpg,x1\nd/../6.jpg,x1\n../in/7.jpg,x1\n../8.jpg,x1\n",
            images("in/5.jpg", "in/6.jpg", "in/7.jpg", "8.jpg") | {"in/d": FOLDER},
        ),
        "in/m.csv",
    ),
    "links within": Layout(
        "posts",
        3,
        3,
        {},
        table(
            "m.csv",
            NAMES + "l.jpg,x1\nd/a.jpg,x1\na.jpg,x1\n",
            images("a.jpg") | {"l.jpg": Link("a.jpg"), "d": Link(".")},
        ),
        "m.csv",
    ),
    "links out": Layout(
        "posts",
        3,
        1,
        {"path leaves the image folder": 2},
        table(
            "in/m.csv",
            NAMES + "l.jpg,x1\nd/b.jpg,x1\na.jpg,x1\n",
            images("in/a.jpg", "out/b.jpg") | {"in/l.jpg": Link("ROOT/out/b.jpg"), "in/d": Link("ROOT/out")},
        ),
        "in/m.csv",
    ),
    "links out, allowed": Layout(
        "posts",
        3,
        3,
        {},
        table(
            "in/m.csv",
            NAMES + "l.jpg,x1\nd/b.jpg,x1\na.jpg,x1\n",
            images("in/a.jpg", "out/b.jpg") | {"in/l.jpg": Link("ROOT/out/b.jpg"), "in/d": Link("ROOT/out")},
        ),
        "in/m.csv",
        ".",
    ),
    "addresses": Layout(
        "posts",
        4,
        2,
        {"an address": 2},
        table(
            "m.csv",
            NAMES + "file://ROOT/a.jpg,x1\nfile://ROOT/b%20c.jpg,x1\nhttps://x.org/a.jpg,x1\ns3://b/a.jpg,x1\n",
            images("a.jpg", "b c.jpg"),
        ),
        "m.csv",
    ),
    "Windows": Layout(
        "posts", 2, 2, {}, table("m.csv", NAMES + "d\\a.jpg,x1\nb\\c.jpg,x1\n", images("d/a.jpg", "b\\c.jpg")), "m.csv"
    ),
    "lists in cells": Layout(
        "posts",
        5,
        4,
        {"no hashtag": 1},
        table(
            "m.tsv",
            "image\thashtags\n"
            "a.jpg\t[\"\\u732b\", \"caf\\u00e9\"]\nb.jpg\t['sea', 'sun']\nc.jpg\t[]\n"
            "d.jpg\t['sea' 'sun']\ne.jpg\t[sea, sun]\n",
            images("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"),
        ),
        "m.tsv",
    ),
    "captions": Layout(
        "posts",
        4,
        2,
        {"no hashtag": 2},
        table(
            "m.csv",
            "image;caption\na.jpg;what a day! #sea\nb.jpg;what a day\nc.jpg;#sea #sun\nd.jpg;\n",
            images("a.jpg", "b.jpg", "c.jpg", "d.jpg"),
        ),
        "m.csv",
    ),
    "ids twice": Layout(
        "posts",
        5,
        3,
        {"duplicate id": 2},
        table(
            "m.csv",
            "id,image,hashtags\n1,a.jpg,x1\n1,a.jpg,x1\n1,b.jpg,x1\n2,a.jpg,x1\n3,a.jpg,x1\n",
            images("a.jpg", "b.jpg"),
        ),
        "m.csv",
    ),
    "names of all kinds": Layout(
        "posts",
        6,
        6,
        {},
        table(
            "m.csv",
            NAMES + 'café.jpg,x1\ncafe\u0301.jpg,x1\n猫 😀.jpg,x1\n"a,b.jpg",x1\n"c\nd.jpg",x1\n[e](f).x.jpg,x1\n',
            images("café.jpg", "cafe\u0301.jpg", "猫 😀.jpg", "a,b.jpg", "c\nd.jpg", "[e](f).x.jpg"),
        ),
        "m.csv",
    ),
    "files of all kinds": Layout(
        "posts",
        10,
        2,
        {"file is missing": 4, "empty": 1, "unknown format": 2, "truncated": 1},
        table(
            "m.csv",
            NAMES
            + "".join(f"{n},x1\n" for n in ["a.jpg", "gone", "d", "f", "loop", "zero", "text", "heic", "cut", "png"]),
            {
                **images("a.jpg"),
                **{"d": FOLDER, "f": FIFO, "loop": Link("loop"), "zero": b"", "text": "hello"},
                **{"heic": HEIC, "cut": picture(1)[:-40], "png": wordy(2)},
            },
        ),
        "m.csv",
    ),
    "formats": Layout(
        "posts",
        5,
        5,
        {},
        table(
            "m.csv",
            NAMES + "a.jfif,x1\nb.PNG,x1\nc,x1\nd.jpg_large,x1\ne.tiff,x1\n",
            {
                **{"a.jfif": picture(0), "b.PNG": picture(1, "PNG"), "c": picture(2, "GIF")},
                **{"d.jpg_large": picture(3, "BMP"), "e.tiff": picture(4, "WEBP")},
            },
        ),
        "m.csv",
    ),
    "names too long": Layout(
        "posts",
        3,
        1,
        {"file cannot be read": 2},
        table("m.csv", f"{NAMES}{'n' * 300},x1\n{'m/' * 3000}x,x1\na.jpg,x1\n", images("a.jpg")),
        "m.csv",
    ),
    "broken lines": Layout(
        "posts",
        5,
        2,
        {"no JSON": 1, "no JSON object": 1, "no image name": 1},
        table(
            "m.jsonl.gz",
            '{"image": "a.jpg", "hashtags": ["x1"]}\n{"image"\n[1]\n\n{"hashtags": "x1"}\n'
            '{"image": "b.jpg", "text": "#x1"}\n',
            images("a.jpg", "b.jpg"),
        ),
        "m.jsonl.gz",
    ),
    "splits in words": Layout(
        "labels",
        4,
        2,
        {"bad field": 1, "no label": 1},
        table(
            "m.csv",
            "image,label,split\na.jpg,cat,train\nb.jpg,cat,\nc.jpg,cat,holdout\nd.jpg,,test\n",
            images("a.jpg", "b.jpg", "c.jpg", "d.jpg"),
        ),
        "m.csv",
    ),
    "Parquet of names": Layout(
        "posts",
        3,
        2,
        {"no hashtag": 1},
        files(
            {
                **images("a.jpg", "b.jpg", "c.jpg"),
                "m.parquet": parquet("", {"Image": ["a.jpg", b"b.jpg", "c.jpg"], "hashtags": [["x1"], ["x1"], None]}),
            }
        ),
        "m.parquet",
    ),
    "Parquet with images": Layout(
        "labels",
        6,
        4,
        {"empty": 1, "no image name": 1},
        files(images("here.jpg") | {"m.parquet": parquet("", {"image": STRUCTS, "label": [0, 1, 0, 1, 0, 1]}, HF)}),
        "m.parquet",
    ),
    "Parquet of bytes": Layout(
        "labels",
        5,
        2,
        {"no label": 1, "class number": 1, "unknown format": 1},
        files({"m.parquet": parquet("", {"img": BYTES, "fine": [0, 1, -1, 2, 0]}, CIFAR)}),
        "m.parquet",
    ),
    "Parquet of bytes, posts": Layout(
        "posts",
        2,
        1,
        {"no hashtag": 1},
        files({"m.parquet": parquet("", {"image": BYTES[:2], "text": ["a #sea", "a sea"]})}),
        "m.parquet",
    ),
    "Parquet parts": Layout(
        "labels",
        6,
        6,
        {},
        files(
            {
                "README.md": "about",
                ".gitattributes": "x",
                "data/train-00000-of-00002.parquet": hf(2, 0),
                "data/train-00001-of-00002.parquet": hf(2, 2, 1),
                "data/test-00000-of-00001.parquet": hf(2, 4),
            }
        ),
        left=2,
    ),
    "CSV parts": Layout(
        "labels",
        4,
        3,
        {"file is missing": 1},
        files(
            {
                **images("0.jpg", "1.jpg", "val/2.jpg"),
                "train/0.csv": "image,label\n0.jpg,cat\n",
                "val/0.csv": "image,label\n2.jpg,cat\n",
                "test/0.csv": "image,label\n1.jpg,cat\n9.jpg,cat\n",
            }
        ),
        "{train,val,test}/*.csv",
        ".",
    ),
    "a part that is broken": Layout(
        "labels",
        4,
        2,
        {"table cannot be read": 2},
        files({"a.parquet": hf(2, 0), "b.parquet": b"text", "c.csv": "picture,label\n"}),
    ),
    "JSON parts by a pattern": Layout(
        "posts",
        2,
        2,
        {},
        files(
            {
                **images("0.jpg", "1.jpg"),
                "part-0.jsonl": '{"image": "0.jpg", "hashtags": "x1"}\n',
                "part-1.jsonl": '{"image": "1.jpg", "hashtags": "x1"}\n',
                "other.jsonl": "nothing",
            }
        ),
        "part-{0..1}.jsonl",
    ),
    "a folder called .parquet": Layout(
        "labels",
        3,
        3,
        {},
        files(
            {
                "d.parquet/_SUCCESS": b"",
                "d.parquet/part-00000.snappy.parquet": hf(2, 0),
                "d.parquet/.part-00000.crc": b"x",
                "d.parquet/part-00001.snappy.parquet": hf(1, 2),
            }
        ),
        "d.parquet",
        left=2,
    ),
}

# tars

WEBDATASET = [
    *[("000001.jpg", picture(1)), ("000001.cls", "3"), ("000001.npy", "x"), ("000001.seg.png", picture(7, "PNG"))],
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
FRAMES = pairs(*(f"film.{i:06d}" for i in range(300)))
FAILED = [("1.json", {"status": "failed_to_download", "error_message": "404"}), *pairs("2")]

TARS = {
    "webdataset": Layout(
        "labels", 4, 3, {"a second image of its key": 1}, files({"t.tar": tar(WEBDATASET)}), "t.tar", left=4
    ),
    "names with dots": Layout("posts", 7, 7, {}, files({"t.tar": tar(pairs(*DOTS))}), "t.tar"),
    "endings": Layout(
        "posts",
        12,
        5,
        {"an image of a format that is not read": 3, "no hashtag": 1} | {"no image": 2, "a name without an ending": 1},
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
        files({"0.tar": tar(FAILED), "0.parquet": "x", "0_stats.json": {}, ".x": "x", "notes.md": "x"}),
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

# folders of images by class

CLASSES = {
    "classes": Layout("labels", 3, 3, {}, files(images("cat/0.jpg", "cat/1.jpg", "dog/0.jpg"))),
    "below classes": Layout(
        "labels",
        4,
        4,
        {},
        files(images("nested/dog/more/0.jpg", "nested/dog/more/1.jpg", "cat/0.jpg", "cat/more/0.jpg")),
    ),
    "loose images": Layout(
        "labels",
        4,
        2,
        {"lies in no class folder below the root": 2},
        files(images("cat/0.jpg", "dog/0.jpg", "1.jpg", "2.jpg")),
    ),
    "splits above": Layout(
        "labels",
        4,
        4,
        {},
        files(images("train/cat/0.jpg", "Validation/cat/0.jpg", "TEST/cat/0.jpg", "TEST/dog/x/0.jpg")),
    ),
    "splits with more": Layout(
        "labels",
        5,
        2,
        {"lies in no class folder below train": 3},
        files(images("train/cat/0.jpg", "val/cat/0.jpg", "val/1.jpg", "extra/cat/0.jpg", "2.jpg")),
    ),
    "splits below": Layout("labels", 3, 3, {}, files(images("cat/train/0.jpg", "cat/test/0.jpg", "dog/train/0.jpg"))),
    "a class called train": Layout("labels", 2, 2, {}, files(images("train/0.jpg", "bus/train/0.jpg"))),
    "hidden and empty": Layout(
        "labels",
        2,
        1,
        {"unknown format": 1},
        files(
            images("cat/0.jpg", "cat/._0.jpg", ".hidden/0.jpg")
            | {"cat/Thumbs.db": "x", ".DS_Store": "x", "dog": FOLDER, "cat/notes.txt": "x"}
        ),
        left=5,
    ),
    "class links": Layout(
        "labels",
        6,
        3,
        {"link to nothing": 2, "link to a folder within a linked one": 1},
        files(
            images("cat/0.jpg")
            | {"dog/0.jpg": Link("../cat/0.jpg"), "dog/more": Link("../cat")}
            | {"dog/round": Link(".."), "dog/loop": Link("loop"), "dog/gone": Link("gone.jpg")}
        ),
    ),
    "class links out": Layout(
        "labels",
        3,
        1,
        {"link leaves the folder": 2},
        files(
            images("in/cat/0.jpg", "out/0.jpg", "out/1.jpg")
            | {"in/cat/1.jpg": Link("../../out/1.jpg"), "in/dog": Link("../out")}
        ),
        "in",
    ),
    "class links out, allowed": Layout(
        "labels",
        4,
        4,
        {},
        files(
            images("in/cat/0.jpg", "out/0.jpg", "out/1.jpg")
            | {"in/cat/1.jpg": Link("../../out/1.jpg"), "in/dog": Link("../out")}
        ),
        "in",
        "out",
    ),
    "class files of all kinds": Layout(
        "labels",
        6,
        2,
        {"no file but a device": 1, "empty": 1, "truncated": 1, "unknown format": 1},
        files(
            images("cat/no ending", "cat/0.gif")
            | {"cat/f": FIFO, "cat/z.jpg": b"", "cat/c.jpg": picture(1)[:-40], "cat/h.heic": HEIC}
        ),
    ),
    "class names": Layout(
        "labels", 6, 6, {}, files(images("0 1/0.jpg", "007/0.jpg", "a.b/0.jpg", "猫/0.jpg", "é/0.jpg", "e\u0301/0.jpg"))
    ),
    "too deep": Layout(
        "labels",
        2,
        1,
        {"folder more than": 1},
        files(images("cat/0.jpg", f"cat/{'d/' * 60}0.jpg")),
    ),
    "posts of classes": Layout("posts", 2, 2, {}, files(images("cat/0.jpg", "cat/more/0.jpg"))),
}

LAYOUTS = TABLES | TARS | CLASSES
