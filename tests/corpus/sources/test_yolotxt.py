"""YOLO's folder as a source: parts of the sides to pixels, names of classes, faults."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from corpus.sources.source import source_rows
from tests.support.annotated import HEIGHT, WIDTH, imported, reasons, save_image, stored

NAMES = {"names": ["dog", "traffic light"]}


def written(root: Path, files: dict[str, str], about: dict | None = NAMES) -> Path:
    """A folder of YOLO: an image and its lines for each name of an image."""
    root.mkdir(parents=True)
    for name, lines in files.items():
        save_image(root / name)
        path = root / name.replace("images/", "labels/").replace(".jpg", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines)
    if about:
        (root / "data.yaml").write_text(yaml.safe_dump(about))
    return root


@pytest.mark.parametrize("place", ["images/{}/", "{}/images/", "set/images/{}/in/"])
def test_lines_become_pixels_and_folders_splits(tmp_path, place):
    lines = "1 0.5 0.5 0.25 0.5\n\n0 0 0 0.5 0 0.5 0.5\r\n"
    files = {place.format("train") + "a.jpg": lines, place.format("valid") + "b.jpg": ""}
    root = written(tmp_path / "in", files)
    save_image(root / place.format("test") / "c.jpg", turn=6)
    left: Counter = Counter()
    rows = [*source_rows(root, None, "boxes", tmp_path / "spool", left=left)]
    assert left == {"taken to have no object: image without a file of labels": 1}
    assert not any(row.reason for row in rows)
    imported(root, tmp_path / "data")
    found = {scene.split: scene for scene in stored(tmp_path / "data").values()}
    box, drawn = found["train"].objects
    assert (box.id, box.label, box.category, box.area) == (1, "traffic light", 1, 150)
    assert box.box == (15, 7.5, 10, 15) and drawn.box == (0, 0, 20, 15)
    assert drawn.polygons == [[0, 0, 20, 0, 20, 15]] and (drawn.id, drawn.label) == (3, "dog")
    assert not found["val"].objects and not found["test"].objects
    assert (found["test"].width, found["test"].height) == (HEIGHT, WIDTH), "upright"


LINES = {
    "class": ("2 .5 .5 .5 .5", "class number beyond the 2 names: 2"),
    "half a class": ("0.5 .5 .5 .5 .5", "class number beyond"),
    "above 1": ("0 .5 1.5 .5 .5", "numbers outside of 0 to 1"),
    "below 0": ("0 -.5 .5 .5 .5", "numbers outside of 0 to 1"),
    "NaN": ("0 nan .5 .5 .5", "numbers outside of 0 to 1"),
    "no area": ("0 .5 .5 0 .5", "object without area"),
    "two points": ("0 .5 .5 .5 .5 .5", "line of 6 numbers"),
    "half a point": ("0 .5 .5 .5 .5 .5 .5 .5", "line of 8 numbers"),
    "text": ("dog .5 .5 .5 .5", "line that is no list of numbers"),
}


@pytest.mark.parametrize(("fault", "why"), LINES.values(), ids=LINES)
def test_a_fault_of_a_line_costs_that_object_alone(tmp_path, fault, why):
    good = "0 .5 .5 .5 .5"
    root = written(tmp_path / "in", {"images/a.jpg": f"{good}\n{fault}\n{good}"})
    assert imported(root, tmp_path / "data").kept == 1
    assert [thing.id for thing in stored(tmp_path / "data")["images/a.jpg"].objects] == [1, 3]
    [(where, reason)] = reasons(tmp_path / "data")
    assert where == "labels/a.txt line 2" and reason.startswith(why)


def test_names_are_those_of_yaml_or_of_a_list(tmp_path):
    line = {"images/a.jpg": "1 .5 .5 .5 .5"}
    numbered = written(tmp_path / "a", line, {"names": {0: "x", 1: "y"}})
    imported(numbered, tmp_path / "data", name="a")
    assert stored(tmp_path / "data", "a")["images/a.jpg"].objects[0].label == "y"
    listed = written(tmp_path / "b", line, None)
    with pytest.raises(ValueError, match=r"no data\.yaml \(names\) and no classes\.txt"):
        imported(listed, tmp_path / "data", name="b")
    (listed / "classes.txt").write_text("p\n q \n")
    imported(listed, tmp_path / "data", name="b")
    assert stored(tmp_path / "data", "b")["images/a.jpg"].objects[0].label == "q"
    for about, why in (({"nc": 2}, "has no `names`"), ({"names": {1: "x"}}, "has no `names`")):
        (numbered / "data.yaml").write_text(yaml.safe_dump(about))
        with pytest.raises(ValueError, match=why):
            imported(numbered, tmp_path / "data", name="a")
    (numbered / "data.yaml").write_text("names: [a\n")
    with pytest.raises(ValueError, match="is no YAML"):
        imported(numbered, tmp_path / "data", name="a")
    (numbered / "data.yaml").write_text("names: [a]\nkpt_shape: [17, 3]\n")
    with pytest.raises(ValueError, match="is of poses"):
        imported(numbered, tmp_path / "data", name="a")
    with pytest.raises(ValueError, match="leave --images out"):
        imported(listed, tmp_path / "data", name="b", images=tmp_path)


def test_labels_without_an_image_and_images_that_are_none_are_told(tmp_path):
    root = written(tmp_path / "in", {"images/a.jpg": "0 .5 .5 .5 .5", "images/b.jpg": ""})
    (root / "images/b.jpg").write_bytes(b"no image")
    (root / "labels/c.txt").write_text("")
    imported(root, tmp_path / "data")
    found = dict(reasons(tmp_path / "data"))
    assert found["labels/c.txt"] == "labels without an image"
    assert found["images/b.jpg"].startswith("image whose size cannot be read")
    assert [*stored(tmp_path / "data")] == ["images/a.jpg"]
