"""Tables as people have them."""

from tests.support.layouts import (
    FIFO,
    FOLDER,
    HEIC,
    Layout,
    Link,
    images,
    picture,
    table,
    wordy,
)

NAMES = "image,hashtags\n"
OUTSIDE = images("in/a.jpg", "out/b.jpg")
OUTSIDE |= {"in/l.jpg": Link("ROOT/out/b.jpg"), "in/d": Link("ROOT/out")}
KINDS = ("a.jpg", "gone", "d", "f", "loop", "zero", "text", "heic", "cut", "png")
ADDRESSES = "file://ROOT/a.jpg,x1\nfile://ROOT/b%20c.jpg,x1\nhttps://x.org/a.jpg,x1\n"
ODD = 'café.jpg,x1\ncafe\u0301.jpg,x1\n猫 😀.jpg,x1\n"a,b.jpg",x1\n"c\nd.jpg",x1\n'
TABLES = {
    "names in folders": Layout(
        "posts",
        2,
        2,
        {},
        table("m.csv", NAMES + "a.jpg,x1\nd/b.jpg,x1\n", images("a.jpg", "d/b.jpg")),
        "m.csv",
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
            OUTSIDE,
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
            OUTSIDE,
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
            NAMES + ADDRESSES + "s3://b/a.jpg,x1\n",
            images("a.jpg", "b c.jpg"),
        ),
        "m.csv",
    ),
    "Windows": Layout(
        "posts",
        2,
        2,
        {},
        table("m.csv", NAMES + "d\\a.jpg,x1\nb\\c.jpg,x1\n", images("d/a.jpg", "b\\c.jpg")),
        "m.csv",
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
            NAMES + ODD + "[e](f).x.jpg,x1\n",
            images(
                "café.jpg", "cafe\u0301.jpg", "猫 😀.jpg", "a,b.jpg", "c\nd.jpg", "[e](f).x.jpg"
            ),
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
            NAMES + "".join(f"{n},x1\n" for n in KINDS),
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
}
