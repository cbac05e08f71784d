"""CVAT's XML as a source: shapes to objects, splits of subsets, faults, files of any size."""

import itertools
import tracemalloc
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest

from corpus.drawn.objects import draw_images, object_records
from corpus.media.runs import decoded
from corpus.sources import xmlelements
from corpus.sources.source import source_rows
from tests.support.annotated import HEIGHT, WIDTH, imported, reasons, save_image, stored

META = "<meta><task><labels>{}</labels></task></meta>"
NAMED = (
    "<label><name>{}</name><attributes><attribute><name>x</name></attribute></attributes></label>"
)
BOX = '<box label="dog" occluded="1" xtl="4" ytl="5.5" xbr="24" ybr="16" z_order="2"/>'


def element(name: str, attributes: dict, inner: str = "") -> str:
    """One element of XML."""
    said = " ".join(f"{key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name} {said}>{inner}</{name}>"


def written(root: Path, images: dict[str, str], labels: tuple = ("dog", "cat"), **more) -> Path:
    """A folder of CVAT's: images of WIDTH x HEIGHT px, and an XML of their shapes."""
    text = META.format("".join(map(NAMED.format, labels)))
    for number, (name, shapes) in enumerate(images.items()):
        if not name.startswith(".."):
            save_image(root / "images" / name)
        about = {"id": number, "name": name, "width": WIDTH, "height": HEIGHT} | more
        text += element("image", about, shapes)
    path = root / "annotations.xml"
    head = '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
    path.write_text(f"{head}{text}</annotations>")
    return path


def row_wise(mask: np.ndarray) -> dict[str, object]:
    """CVAT's attributes of a mask, bool (h, w)."""
    y, x = np.nonzero(mask)
    part = mask[y.min() : y.max() + 1, x.min() : x.max() + 1]
    runs = [(bool(value), len([*group])) for value, group in itertools.groupby(part.ravel())]
    counts = [count for _, count in runs]
    counts = [0, *counts] if runs[0][0] else counts
    height, width = part.shape
    sides = {"left": x.min(), "top": y.min(), "width": width, "height": height}
    return {"rle": ", ".join(map(str, counts))} | sides


def test_drawn_objects_come_back_field_by_field(tmp_path):
    images, root = (6, 2, 3), tmp_path / "in"
    text, crowds = "", 0
    for one in draw_images(0, images, 96):
        shapes = ""
        for place, segment in enumerate(one.scene.segments, 1):
            if segment.thing:
                flag = element("attribute", {"name": "is_crowd"}, str(segment.crowd).lower())
                about = {"label": segment.label, "occluded": 0, "z_order": place}
                shapes += element("mask", about | row_wise(one.scene.numbers == place), flag)
                crowds += segment.crowd
        height, width = one.scene.numbers.shape
        about = {"id": one.number, "name": one.name, "subset": one.split}
        text += element("image", about | {"width": width, "height": height}, shapes)
        path = root / "images" / one.split / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.scene.image)
    (root / "annotations.xml").write_text(f"<annotations>{text}</annotations>")
    assert imported(root, tmp_path / "data").refused == {}
    found, most = stored(tmp_path / "data"), 0
    for record, _ in object_records(0, images, 96, "boxes"):
        mine = found[record.id]
        assert (mine.split, mine.number) == (record.split, record.number)
        assert (mine.width, mine.height) == (record.width, record.height)
        most = max(most, len(mine.objects))
        for thing, drawn in zip(mine.objects, record.objects, strict=True):
            same = {"id": thing.id, "category": thing.category, "rle": drawn.rle.as_text()}
            assert thing == drawn.model_copy(update=same)
    assert most > 2 and crowds, "some have several objects, some a crowd"


def test_each_shape_becomes_the_object_that_it_outlines(tmp_path):
    flags = element("attribute", {"name": "truncated"}, "true")
    flags += element("attribute", {"name": "Difficult"}, "1") + element("attribute", {"name": "x"})
    turned = {"label": "cat", "xtl": 10, "ytl": 12, "xbr": 20, "ybr": 16, "rotation": 90}
    oval = {"label": "cat", "cx": 20, "cy": 15, "rx": 10, "ry": 4}
    outside = {"label": "dog", "xtl": 1, "ytl": 1, "xbr": 5, "ybr": 5, "outside": 1}
    line = {"label": "dog", "points": "1,1;5,5"}
    shapes = [
        BOX.replace("/>", f">{flags}</box>"),
        element("polygon", {"label": "bird", "points": "1,1;9,1;9,5.5"}),
        element("box", turned),
        element("ellipse", oval),
        element("ellipse", oval | {"rotation": 90}),
        element("box", outside),
        *(element(name, line) for name in ("polyline", "points", "cuboid", "skeleton", "tag")),
        "<note/>",
    ]
    path = written(tmp_path / "in", {"a.jpg": "".join(shapes), "b.jpg": ""})
    left, about = Counted(), {}
    rows = [*source_rows(path, None, "boxes", tmp_path / "spool", left=left, about=about)]
    assert [row.reason for row in rows] == ["", ""] and rows[1].fields["objects"] == []
    box, polygon, upright, ellipse, tall = rows[0].fields["objects"]
    assert box.box == (4, 5.5, 20, 10.5) and box.polygons is box.rle is None
    assert (box.id, box.label, box.difficult, box.truncated, box.crowd) == (1, "dog", 1, 1, 0)
    assert polygon.polygons == [[1, 1, 9, 1, 9, 5.5]] and polygon.box == (1, 1, 8, 4.5)
    assert [box.category, polygon.category, upright.category] == [1, 3, 2]
    assert [one["name"] for one in about["categories"]] == ["dog", "cat", "bird"]
    assert upright.box == pytest.approx((13, 9, 4, 10)) and upright.polygons is None
    assert ellipse.box == pytest.approx((10, 11, 20, 8), abs=0.1)
    assert ellipse.area == pytest.approx(np.pi * 40, rel=0.1) and tall.box[3] > tall.box[2]
    assert tall.box == pytest.approx((16, 5, 8, 20), abs=0.1)
    told = left.told()
    assert told["turned box"] == 1 and told["ellipse of"] == 2
    assert told["shape that"] == told["element of"] == told["attribute of"] == 1
    for name in ("polyline", "points", "cuboid", "skeleton", "tag"):
        assert told[f"{name} of"] == 1


class Counted(dict):
    """A Counter whose keys may be asked for by the words that they begin with, after a colon."""

    def __missing__(self, key: str) -> int:
        return 0

    def told(self) -> dict[str, int]:
        return {" ".join(key.split(": ")[-1].split()[:2]): count for key, count in self.items()}


def test_a_box_is_turned_clockwise_as_people_see_it(tmp_path):
    about = {"label": "dog", "xtl": 10, "ytl": 14, "xbr": 30, "ybr": 16, "rotation": 30}
    path = written(tmp_path / "in", {"a.jpg": element("box", about)})
    imported(path, tmp_path / "data")
    [thing] = stored(tmp_path / "data")["a.jpg"].objects
    wide = 20 * np.cos(np.pi / 6) + 2 * np.sin(np.pi / 6)
    high = 20 * np.sin(np.pi / 6) + 2 * np.cos(np.pi / 6)
    assert thing.box == pytest.approx((20 - wide / 2, 15 - high / 2, wide, high))


def test_a_mask_is_read_row_by_row(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:6, 7:10], mask[6, 8], mask[HEIGHT - 1, WIDTH - 1] = True, True, True
    shapes = element("mask", {"label": "dog"} | row_wise(mask))
    first = np.zeros_like(mask)
    first[0] = True
    shapes += element("mask", {"label": "dog"} | row_wise(first))
    imported(written(tmp_path / "in", {"a.jpg": shapes}), tmp_path / "data")
    things = stored(tmp_path / "data")["a.jpg"].objects
    for thing, wanted in zip(things, (mask, first), strict=True):
        assert (decoded(thing.rle.counts.encode(), HEIGHT, WIDTH) == wanted).all()
        assert thing.area == wanted.sum()


def test_splits_are_those_of_subsets_and_several_files_are_of_one_set(tmp_path):
    for name, subset in (("a", "Train"), ("b", "Validation"), ("c", "default")):
        written(tmp_path / "in", {f"{name}.jpg": BOX}, (name, "dog"), subset=subset)
        path = tmp_path / "in/annotations.xml"
        path.rename(path.with_name(f"{name}.xml"))
    imported(tmp_path / "in", tmp_path / "data")
    found = stored(tmp_path / "data")
    assert found["a.jpg"].split == "train" and found["b.jpg"].split == "val" and len(found) == 3
    assert {scene.objects[0].category for scene in found.values()} == {2}, "dog, in all of them"


def cut(name: str, attributes: dict) -> str:
    return element(name, {"label": "dog"} | attributes)


MASK = {"left": 1, "top": 1, "width": 2, "height": 2, "rle": "1, 3"}
OBJECTS = {
    "outside": (BOX.replace('"4"', f'"{WIDTH}"').replace('"24"', '"50"'), "object outside the"),
    "no area": (BOX.replace('"24"', '"4"'), "object without area"),
    "text": (BOX.replace('"24"', '"x"'), "object whose box is no list of numbers"),
    "NaN": (BOX.replace('"24"', '"nan"'), "object whose box has a number that is not finite"),
    "no edge": (BOX.replace("xbr", "x"), "box without xbr"),
    "no class": (BOX.replace("dog", " "), "object without a class"),
    "turn": (BOX.replace("z_order", "rotation").replace('"2"', '"inf"'), "object whose rotation"),
    "line": (cut("polygon", {"points": "1,1;2,2"}), "polygon of fewer than 3 points"),
    "odd": (cut("polygon", {"points": "1,1;2;3,3"}), "polygon whose points are no pairs"),
    "no points": (cut("polygon", {}), "polygon whose points are no pairs"),
    "flat": (cut("ellipse", {"cx": 5, "cy": 5, "rx": 0, "ry": 2}), "object without area"),
    "beyond": (cut("mask", MASK | {"left": WIDTH - 1}), "mask that is not of pixels of the image"),
    "half": (cut("mask", MASK | {"top": 0.5}), "mask that is not of pixels of the image"),
    "short": (cut("mask", MASK | {"rle": "1, 2"}), "run lengths that do not cover the mask's 2 x"),
    "below 0": (cut("mask", MASK | {"rle": "-1, 5"}), "run lengths that do not cover"),
    "no runs": (cut("mask", MASK | {"rle": "a"}), "run lengths that cannot be read"),
    "huge": (cut("mask", MASK | {"rle": "9" * 40}), "run lengths that cannot be read"),
    "empty": (cut("mask", MASK | {"rle": "4"}), "object without area: its mask has no pixel"),
}


@pytest.mark.parametrize(("fault", "why"), OBJECTS.values(), ids=OBJECTS)
def test_a_fault_of_a_shape_costs_that_object_alone(tmp_path, fault, why):
    path = written(tmp_path / "in", {"a.jpg": BOX + fault + BOX})
    assert imported(path, tmp_path / "data").kept == 1
    assert [thing.id for thing in stored(tmp_path / "data")["a.jpg"].objects] == [1, 3]
    [(where, reason)] = reasons(tmp_path / "data")
    assert where == "annotations.xml image 0 shape 2" and reason.startswith(why)


def test_a_fault_of_an_image_costs_that_image_alone(tmp_path):
    names = dict.fromkeys(("a.jpg", "../../x.jpg", "c.jpg", "d.jpg", "e.jpg"), BOX)
    path = written(tmp_path / "in", names)
    text = path.read_text()
    text = text.replace('name="c.jpg" width="40"', 'name="c.jpg" width="41"')
    path.write_text(text.replace('name="d.jpg"', 'name=""').replace('"e.jpg"', '"a.jpg"'))
    (path.parent / "x.jpg").write_bytes(b"")
    imported(path, tmp_path / "data")
    told = dict(reasons(tmp_path / "data"))
    assert [*stored(tmp_path / "data")] in ([], ["a.jpg"])
    assert told["annotations.xml image 1"].startswith("path leaves the image folder")
    assert told["annotations.xml image 2"].startswith("image of another size: 40 x 30 px")
    assert told["annotations.xml image 3"].startswith("path leaves the image folder")
    assert "duplicate id" in told["annotations.xml image 4"]


LAUGHS = '<!DOCTYPE a [<!ENTITY e "ha"><!ENTITY f "&e;&e;">]>'
FILES = {
    "cut": (lambda text: text[:-30], r"annotations\.xml is no XML, or cut off"),
    "empty": (lambda text: "", r"annotations\.xml is no XML of CVAT"),
    "entities": (lambda text: LAUGHS + text[38:], r"annotations\.xml is no XML of CVAT"),
    "video": (lambda text: text.replace("<image", "<track", 1).replace("</image", "</track", 1),
              "CVAT's XML of a video"),
    "VOC": (lambda text: "<annotation></annotation>", "name the folder of them"),
    "deep": (lambda text: text.replace(BOX, "<a>" * 40 + "</a>" * 40), "over 32 deep"),
}  # fmt: skip


@pytest.mark.parametrize(("spoilt", "why"), FILES.values(), ids=FILES)
def test_a_file_that_is_none_ends_the_import_and_changes_nothing(tmp_path, spoilt, why):
    path = written(tmp_path / "in", {"a.jpg": BOX, "b.jpg": ""})
    path.write_text(spoilt(path.read_text()))
    with pytest.raises(ValueError, match=why):
        imported(path, tmp_path / "data")
    assert not (tmp_path / "data/targets/things").exists()


def test_a_file_of_any_size_is_read_image_by_image(tmp_path, monkeypatch):
    path, count = tmp_path / "large.xml", 4000
    long = element("polygon", {"label": "dog", "points": "1.25,2.5;" * 500})
    one = element("image", {"id": 1, "name": "a.jpg"}, long + BOX * 2)
    with path.open("w") as file:
        file.write("<annotations>")
        for _ in range(count):
            file.write(one)
        file.write("</annotations>")
    assert path.stat().st_size > 15 << 20
    tracemalloc.start()
    assert sum(len(each) == 3 for each in xmlelements.elements(path, ("image",))) == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20, "less than the file"
    monkeypatch.setattr(xmlelements, "CHUNK", 1 << 10)
    monkeypatch.setattr(xmlelements, "LARGEST", 2 << 10)
    with pytest.raises(ValueError, match=r"large\.xml: an element of over 0 MB"):
        next(xmlelements.elements(path, ("image",)))
    monkeypatch.setattr(xmlelements, "LARGEST", 1 << 20)
    monkeypatch.setattr(xmlelements, "NODES", 2)
    with pytest.raises(ValueError, match="holds over 2 others"):
        next(xmlelements.elements(path, ("image",)))
