"""Folders of images by class as people have them."""

from tests.support.layouts import FIFO, FOLDER, HEIC, Layout, Link, files, images, picture

CLASSES = {
    "classes": Layout("labels", 3, 3, {}, files(images("cat/0.jpg", "cat/1.jpg", "dog/0.jpg"))),
    "below classes": Layout(
        "labels",
        4,
        4,
        {},
        files(images("a/dog/more/0.jpg", "a/dog/more/1.jpg", "cat/0.jpg", "cat/more/0.jpg")),
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
        files(images("train/cat/0.jpg", "Valid/cat/0.jpg", "TEST/cat/0.jpg", "TEST/dog/x/0.jpg")),
    ),
    "splits with more": Layout(
        "labels",
        5,
        2,
        {"lies in no class folder below a split": 3},
        files(images("train/cat/0.jpg", "val/cat/0.jpg", "val/1.jpg", "extra/cat/0.jpg", "2.jpg")),
    ),
    "splits below": Layout(
        "labels",
        3,
        3,
        {},
        files(images("cat/train/0.jpg", "cat/test/0.jpg", "dog/train/0.jpg")),
    ),
    "a class called train": Layout(
        "labels",
        2,
        2,
        {},
        files(images("train/0.jpg", "bus/train/0.jpg")),
    ),
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
        "labels",
        6,
        6,
        {},
        files(
            images("0 1/0.jpg", "007/0.jpg", "a.b/0.jpg", "猫/0.jpg", "é/0.jpg", "e\u0301/0.jpg")
        ),
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
