"""Parquet tables and folders of part files as people have them."""

from tests.support.layouts import HEIC, Layout, files, images, parquet, picture

TAGGED = {"Image": ["a.jpg", b"b.jpg", "c.jpg"], "hashtags": [["x1"], ["x1"], None]}
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
WITHIN = {"image": STRUCTS, "label": [0, 1, 0, 1, 0, 1]}
BYTES = [picture(i) for i in range(4)] + [HEIC]


def hf(count: int, first: int, label: int = 0) -> bytes:
    """A part of labelled images as Hugging Face writes it."""
    cells = [{"bytes": picture(first + i), "path": "x.png"} for i in range(count)]
    return parquet({"image": cells, "label": [label] * count}, HF)


PARTS = {
    "Parquet of names": Layout(
        "posts",
        3,
        2,
        {"no hashtag": 1},
        files(
            {
                **images("a.jpg", "b.jpg", "c.jpg"),
                "m.parquet": parquet(TAGGED),
            }
        ),
        "m.parquet",
    ),
    "Parquet with images": Layout(
        "labels",
        6,
        4,
        {"empty": 1, "no image name": 1},
        files(images("here.jpg") | {"m.parquet": parquet(WITHIN, HF)}),
        "m.parquet",
    ),
    "Parquet of bytes": Layout(
        "labels",
        5,
        2,
        {"no label": 1, "class number": 1, "unknown format": 1},
        files({"m.parquet": parquet({"img": BYTES, "fine": [0, 1, -1, 2, 0]}, CIFAR)}),
        "m.parquet",
    ),
    "Parquet of bytes, posts": Layout(
        "posts",
        2,
        1,
        {"no hashtag": 1},
        files({"m.parquet": parquet({"image": BYTES[:2], "text": ["a #sea", "a sea"]})}),
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
    "parts beside their images": Layout(
        "labels",
        4,
        3,
        {"file is missing": 1},
        files(
            {
                **images("train/0.jpg", "val/0.jpg", "0.jpg"),
                "train/metadata.csv": "file_name,label\n0.jpg,cat\n9.jpg,cat\n",
                "val/metadata.csv": "file_name,label\n0.jpg,cat\n",
                "test.csv": "file_name,label\nval/../0.jpg,cat\n",
            }
        ),
        "{train/metadata,val/metadata,test}.csv",
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
