"""The kind boxes: tables of objects, what is refused, lines of any length."""

import csv
import json
import re

import pytest

from corpus.records.checking import checked_thing
from corpus.records.kind import kind
from corpus.records.objects import Scene
from corpus.store.classes import classes_of
from corpus.store.read import shards_of
from tests.support.annotated import (
    HEIGHT,
    WIDTH,
    box,
    coco,
    image,
    imported,
    reasons,
    save_image,
    stored,
    written,
)

SIZES = {"width": WIDTH, "height": HEIGHT}
DOG = {"label": "dog", "box": [1, 2, 3, 4]}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_table_may_hold_objects(tmp_path, form):
    cat = {"id": 7, "label": " cat ", "polygons": [[1, 1, 9, 1, 9, 5]], "crowd": True}
    rows = [{"image": "a.jpg", "objects": [DOG, cat], "absent": ["z", "y"], "split": "test"}]
    rows.append({"image": "b.jpg", "objects": [], "split": "val"})
    rows = [row | SIZES for row in rows]
    path = tmp_path / f"in/t.{form}"
    for row in rows:
        save_image(tmp_path / "in" / row["image"])
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = ["image", "width", "height", "objects", "absent", "split"]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in rows:
                lists = {name: json.dumps(row.get(name)) for name in ("objects", "absent")}
                writer.writerow(row | lists)
    assert imported(path, tmp_path / "data").refused == {}
    scene = stored(tmp_path / "data")["a.jpg"]
    dog, cat = scene.objects
    assert (dog.id, dog.label, dog.box, dog.area) == (1, "dog", (1, 2, 3, 4), 12)
    assert (cat.id, cat.label, cat.box, cat.crowd) == (7, "cat", (1, 1, 8, 4), True)
    assert 10 < cat.area < 22, "pixels of the polygon"
    assert scene.absent == ["y", "z"] and scene.split == "test"


ROWS = {
    "no size": ({"objects": [DOG]}, "no width and height of the image"),
    "no list": (SIZES | {"objects": "dog"}, "no objects: write [] where the image has none"),
    "nothing": (SIZES | {"objects": None}, "no objects"),
    "no class": (SIZES | {"objects": [{"box": [1, 2, 3, 4]}]}, "object without a class"),
    "a NUL": (SIZES | {"objects": [DOG | {"label": "a\0"}]}, "object without a class"),
    "ids": (SIZES | {"objects": [DOG, DOG | {"id": 1}]}, "two objects have one id"),
    "text": (SIZES | {"objects": ["dog"]}, "object that is no dictionary"),
    "flag": (SIZES | {"objects": [DOG | {"crowd": "maybe"}]}, "object with a bad field: crowd"),
    "many": (SIZES | {"objects": [DOG] * 100_001}, "too many objects: 100,001"),
}


@pytest.mark.parametrize(("row", "why"), ROWS.values(), ids=ROWS)
def test_a_row_that_says_nothing_certain_is_refused(row, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        kind("boxes").described(row)


def test_an_image_of_thousands_of_objects_is_one_long_line(tmp_path):
    points = [6 + number / 100 for number in range(400)]
    many = [box(i, 1, segmentation=[points], category_id=3) for i in range(5_000)]
    source = written(tmp_path / "in", coco([image(1), image(2)], many))
    assert imported(source, tmp_path / "data").refused == {}
    folder = tmp_path / "data/targets/things"
    assert len(stored(tmp_path / "data")["1.jpg"].objects) == 5_000
    assert (folder / "00000.jsonl").stat().st_size > 8 << 20
    [shard] = shards_of(folder)
    counted = classes_of([(folder, shard)], kind("boxes"))
    assert sum(counted.counts["dog"].values()) == 1 and counted.bare == 1


def test_what_a_person_is_shown():
    things = [checked_thing(DOG | {"id": i, "label": "ab"[i % 2]}, WIDTH, HEIGHT) for i in range(3)]
    scene = Scene(id="x", image="pending", **SIZES, objects=things)
    assert kind("boxes").words(scene) == ("a", "b")
    assert kind("boxes").shown(scene.model_dump()["objects"]) == "3 (a, b)"
    assert kind("boxes").shown([]) == "[]"


def test_an_update_of_an_image_of_another_size_leaves_what_is_stored(tmp_path):
    source = written(tmp_path / "in", coco([image(1)], [box(1, 1)]))
    imported(source, tmp_path / "data")
    save_image(tmp_path / "in/1.jpg", 50, 50)
    written(tmp_path / "in", coco([image(1)], [box(1, 1, (0, 0, 9, 9))]))
    told = imported(source, tmp_path / "data", update=True)
    assert told.changed == 0
    assert reasons(tmp_path / "data")[0][1].startswith("image of another size: 50 x 50 px")
    assert stored(tmp_path / "data")["1.jpg"].objects[0].box == (4, 5, 20, 10.5)
