"""Imported, stored, written again: the same annotations, field by field, in each of four formats.

METRICS_REFERENCES names the folder of the authors' own samples, which are read where it is set.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from corpus.records.objects import Scene, Thing
from corpus.store.categories import read_categories
from corpus.store.write import write_store
from flows.data import exporting, importing, intact
from flows.data.exporting import export
from tests.corpus.sources.test_cocojson import rle
from tests.corpus.sources.test_panopticpng import SEGMENTS, map_of
from tests.corpus.sources.test_panopticpng import written as panoptic_source
from tests.corpus.sources.test_vocxml import boxed
from tests.corpus.sources.test_vocxml import written as voc_source
from tests.corpus.sources.test_yolotxt import written as yolo_source
from tests.support.annotated import (
    CATEGORIES,
    HEIGHT,
    WIDTH,
    box,
    coco,
    image,
    imported,
    save_image,
    stored,
    written,
)

SIZES = {"width": WIDTH, "height": HEIGHT}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(exporting, "DATA", tmp_path / "data")
    return tmp_path / "data"


def sorted_of(about: dict, name: str) -> list[dict[str, Any]]:
    return sorted(about[name], key=lambda one: (one.get("id", 0), one.get("image_id", 0)))


def compare(before: dict, after: dict) -> None:
    """What a COCO file had is there again: all of its annotations and categories, and no more."""
    assert sorted_of(after, "annotations") == sorted_of(before, "annotations")
    assert after["categories"] == before["categories"]
    kept = {"id", "file_name", "width", "height", "neg_category_ids", "not_exhaustive_category_ids"}
    images = []
    for one in sorted_of(before, "images"):
        images.append({key: value for key, value in one.items() if key in kept})
    assert sorted_of(after, "images") == images


def test_coco_is_the_same_field_by_field(tmp_path, data):
    annotations = [
        box(11, 5, segmentation=[[4, 5, 24, 5, 24, 15.123456789]], area=100.25),
        box(900, 5, segmentation=rle(slice(2, 9), slice(3, 30)), category_id=7),
        box(2**40, 6, segmentation={"size": [HEIGHT, WIDTH], "counts": [0, 0, 5, 1195]}, iscrowd=1),
        box(13, 6, (-1.5, 28.25, 50, 7), keypoints=[5, 6, 2, 0, 0, 0, 3.5, 1, 1], num_keypoints=2),
    ]
    images = [image(5, license=1, coco_url="http://x"), image(6), image(7)]
    about = coco(images, annotations)
    imported(written(tmp_path / "in", about), data)
    export("things", "coco", str(tmp_path / "out/all.json"))
    compare(about, json.loads((tmp_path / "out/all.json").read_text()))
    assert [*(tmp_path / "out").iterdir()] == [tmp_path / "out/all.json"]
    export("things", "coco", str(tmp_path / "folder"), images=True)
    assert imported(tmp_path / "folder", tmp_path / "again/data").refused == {}
    first, second = stored(data), stored(tmp_path / "again/data")
    for scene in second.values():
        old = first[scene.file]
        same = {"id": old.id, "file": old.file, "image": old.image}
        assert scene.model_copy(update=same) == old
        path = tmp_path / f"folder/images/{scene.split}/{scene.file}"
        assert path.read_bytes() == (tmp_path / "in" / scene.file).read_bytes()


def test_lvis_and_files_of_several_splits_are_the_same(tmp_path, data):
    for split in ("train", "val"):
        lists = {"neg_category_ids": [9], "not_exhaustive_category_ids": [3]}
        about = coco([image(1, **lists), image(2, **{key: [] for key in lists})], [box(1, 1)])
        save_image(tmp_path / f"in/{split}/1.jpg")
        save_image(tmp_path / f"in/{split}/2.jpg")
        path = tmp_path / f"in/annotations/lvis_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(about))
    imported(tmp_path / "in", data)
    export("things", "coco", str(tmp_path / "out"))
    for split in ("train", "val"):
        found = json.loads((tmp_path / f"out/annotations/instances_{split}.json").read_text())
        compare(about, found)
    export("things", "coco", str(tmp_path / "all.json"))
    found = json.loads((tmp_path / "all.json").read_text())
    assert sorted(one["id"] for one in found["images"]) == [1, 2, 3, 4]


def test_panoptic_maps_are_the_same_pixel_by_pixel(tmp_path, data, capsys):
    source = panoptic_source(tmp_path / "in")
    imported(source, data, "panoptic")
    export("things", "panoptic", str(tmp_path / "all.json"))
    compare(json.loads(source.read_text()), json.loads((tmp_path / "all.json").read_text()))
    for name in ("1.png", "2.png"):
        with (
            Image.open(tmp_path / "all" / name) as after,
            Image.open(tmp_path / "in/panoptic" / name) as before,
        ):
            assert np.array_equal(np.asarray(after), np.asarray(before))
    assert "2 images, 4 objects, 1 files" in capsys.readouterr().out
    export("things", "panoptic", str(tmp_path / "out"), images=True)
    assert imported(tmp_path / "out", tmp_path / "again/data", "panoptic").refused == {}
    assert len(stored(tmp_path / "again/data")) == 2
    assert map_of(SEGMENTS).any()


def test_voc_is_the_same_field_by_field(tmp_path, data, capsys):
    flags = "<truncated>1</truncated><difficult>1</difficult>"
    objects = boxed((3, 4, WIDTH, HEIGHT), "tom &amp; &lt;jerry>")
    objects += boxed((1, 1, 1, 1), "cat", flags) + boxed((45.7000007629 - 20, 2.5, 39, 9))
    root = voc_source(tmp_path / "in", {"a": objects, "b": ""})
    (root / "ImageSets/Main").mkdir(parents=True)
    for split, name in (("train", "a"), ("val", "b"), ("test", "")):
        (root / f"ImageSets/Main/{split}.txt").write_text(f"{name}\n" if name else "")
    imported(root, data)
    export("things", "voc", str(tmp_path / "out"), images=True)
    assert imported(tmp_path / "out", tmp_path / "again/data").refused == {}
    close(stored(tmp_path / "again/data"), stored(data))
    text = (tmp_path / "out/Annotations/a.xml").read_text()
    assert "<xmin>3</xmin>" in text and "<xmax>40</xmax>" in text and "25.7000007629" in text
    for split in ("train", "val", "test"):
        lists = [
            (place / f"ImageSets/Main/{split}.txt").read_text()
            for place in (root, tmp_path / "out")
        ]
        assert lists[0] == lists[1]
    assert "note" not in capsys.readouterr().out


def test_yolo_is_the_same_field_by_field(tmp_path, data):
    lines = {
        "images/train/a.jpg": "1 0.5 0.5 0.25 0.5\n0 0.123456 0.2 0.1 0.3\n",
        "images/train/b.jpg": "0 0 0 0.5 0 0.523437 0.5\n1 0.1 0.1 0.2 0.1 0.2 0.9 0.1 0.3\n",
        "images/val/c.jpg": "",
    }
    names = {"names": ["zebra", "ant", "never seen"]}
    root = yolo_source(tmp_path / "in", lines, names)
    imported(root, data)
    export("things", "yolo", str(tmp_path / "out"), images=True)
    for name, text in lines.items():
        path = name.replace("images", "labels").replace("jpg", "txt")
        after = (tmp_path / "out" / path).read_text()
        assert [*map(float, after.split())] == [*map(float, text.split())]
    about = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert [about["names"][i] for i in range(3)] == names["names"] and "test" not in about
    assert imported(tmp_path / "out", tmp_path / "again/data").refused == {}
    close(stored(tmp_path / "again/data"), stored(data))


def rounded(value: Any) -> Any:
    """Numbers within lists and dictionaries to a billionth."""
    if isinstance(value, float):
        return round(value, 9) + 0.0  # no -0
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items() if key != "image"}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return value


def close(found: dict[str, Scene], wanted: dict[str, Scene]) -> None:
    """Scenes are the same, numbers to a billionth."""
    assert found.keys() == wanted.keys()
    for key, scene in wanted.items():
        assert rounded(found[key].model_dump()) == rounded(scene.model_dump())


def thing(number: int, **fields: Any) -> Thing:
    said = {"id": number, "label": "dog", "box": (1, 2, 30, 4), "area": 12}
    return Thing(**said | fields)


def test_what_a_format_has_no_place_for_is_counted(tmp_path, data, capsys):
    mask = {"size": (HEIGHT, WIDTH), "counts": rle(slice(2, 9), slice(3, 30))["counts"]}
    things = [thing(1, crowd=True), thing(2, rle=mask), thing(3, keypoints=[1, 1, 2]), thing(3)]
    scene = Scene(id="../../x/a.jpg", image="0.jpg", **SIZES, objects=things)
    other = scene.model_copy(update={"id": "images/train/a.jpg", "objects": [thing(1)]})
    save_image(tmp_path / "a.jpg")
    picture = (tmp_path / "a.jpg").read_bytes()
    write_store(data / "targets/things", [(scene, picture), (other, picture)], kind="boxes")
    for form in ("voc", "yolo"):
        export("things", form, str(tmp_path / form), images=True)
        told = capsys.readouterr().out
        assert "2 images, 4 objects" in told and "not in this format: 1 x crowd" in told
        assert "1 x mask (its box is)" in told and "1 x keypoints (its box is)" in told
    assert not (tmp_path / "x").exists()
    export("things", "coco", str(tmp_path / "coco"), images=True)
    assert (tmp_path / "coco/images/train/..__..__x__a.jpg").exists()
    assert "ids of annotations are not unique, given anew from 1" in capsys.readouterr().out
    about = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [one["id"] for one in about["annotations"]] == [1, 2, 3, 4, 5]
    assert [one["name"] for one in about["categories"]] == ["dog"]


@pytest.mark.parametrize(
    ("target", "form", "out", "images", "why"),
    [
        ("none", "coco", "out", False, "targets/none: no such set; there are maps, things"),
        (
            "things",
            "panoptic",
            "out",
            False,
            "holds boxes, and panoptic is of panoptic: it expor",
        ),
        (
            "maps",
            "yolo",
            "out",
            False,
            "holds panoptic, and yolo is of boxes: it exports",
        ),
        ("things", "coco", "in", False, "is there already: name another place"),
        ("maps", "panoptic", "in.json", False, "in is there already: name another place"),
        ("things", "voc", "out.json", False, "a single .json is for coco and panoptic"),
        ("things", "coco", "out.json", True, "a single .json is for coco and panoptic"),
        ("..", "coco", "out", False, "name of the labelled set"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path, data, target, form, out, images, why):
    imported(written(tmp_path / "in", coco([image(1)], [box(1, 1)])), data)
    imported(panoptic_source(tmp_path / "maps"), data, "panoptic", name="maps")
    with pytest.raises(ValueError, match=re.escape(why)):
        export(target, form, str(tmp_path / out), images)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.json").exists()


ROOT = os.environ.get("METRICS_REFERENCES")
SAMPLES = {
    "boxes": "MiXaiLL76/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json",
    "panoptic": "cocodataset/panopticapi/sample_data/panoptic_examples.json",
}


@pytest.mark.skipif(ROOT is None, reason="METRICS_REFERENCES is not set")
@pytest.mark.parametrize("kind", SAMPLES)
def test_the_authors_samples_are_the_same(tmp_path, data, kind):
    source = Path(ROOT, SAMPLES[kind])
    about = json.loads(source.read_text())
    for one in about["images"]:
        save_image(tmp_path / "in" / one["file_name"], one["width"], one["height"])
    imported(source, data, kind, tmp_path / "in")
    form = {"boxes": "coco"}.get(kind, kind)
    export("things", form, str(tmp_path / "out.json"))
    compare(about, json.loads((tmp_path / "out.json").read_text()))
    for path in (tmp_path / "out").glob("*.png"):
        with Image.open(path) as after, Image.open(source.with_suffix("") / path.name) as before:
            assert np.array_equal(np.asarray(after), np.asarray(before))


def test_an_import_keeps_what_the_file_says_of_classes(tmp_path, data, monkeypatch):
    monkeypatch.setattr(importing, "DATA", data)
    monkeypatch.setattr(intact, "write_note", lambda **_: None)
    monkeypatch.setattr(intact, "read_note", lambda _: "")
    source = written(tmp_path / "in", coco([image(1)], [box(1, 1)]))
    sources = {"targets/things": str(source)}
    done = importing.import_sources(sources, None, False, False, "boxes")
    assert done["targets/things"]["kept"] == 1
    assert read_categories(data / "targets/things") == CATEGORIES
