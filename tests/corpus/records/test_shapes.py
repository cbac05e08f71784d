"""Objects of records as lists of the index, scaled to the stored image; damaged ones told."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from corpus.media.runs import decoded
from corpus.records.checking import checked_thing
from corpus.records.objects import Rle, Scene, Thing
from corpus.records.shapes import SHAPES, box_lists, label_lists, segment_lists

COCO_SAMPLE = "MiXaiLL76/faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json"
NUMBER = {"bird": 0, "cat": 1, "dog": 2}
SQUARE = [10.0, 10, 30, 10, 30, 22, 10, 22]


def table(*scenes: Scene, sides=None) -> pa.Table:
    rows = [scene.model_dump() for scene in scenes]
    found = pa.Table.from_pylist(rows, pa.schema(SHAPES))
    return found.append_column("sides", pa.array(sides, pa.list_(pa.int32()))) if sides else found


def scene(*things: Thing, **more) -> Scene:
    return Scene(id="a", image="a.jpg", width=40, height=24, objects=things, **more)


def thing(number: int = 1, label: str = "dog", **more) -> Thing:
    return Thing(id=number, label=label, box=(10, 10, 20, 12), area=240, **more)


def test_boxes_points_and_areas_are_scaled_as_floats_and_masks_by_pixels():
    points = [12.0, 12, 2, 0, 0, 0]
    first = thing(polygons=[SQUARE], keypoints=points, crowd=True, difficult=True)
    box = Thing(id=2, label="cat", box=(0.5, 1.25, 1, 0.5), area=0.5)
    more = {"absent": ["bird", "unheard"], "partial": ["cat"]}
    bare = scene().model_copy(update={"id": "b"})
    found = box_lists(table(scene(first, box, **more), bare, sides=[[20, 12], [40, 24]]), NUMBER)
    row = {name: lists[0].as_py() for name, lists in found.items()}
    assert row["boxes"] == [5, 5, 15, 11, 0.25, 0.625, 0.75, 0.875], "below a pixel, and kept"
    assert row["box_label"] == [2, 1] and row["box_area"] == [60, 0.125]
    assert row["box_crowd"] == row["box_ignore"] == [True, False]
    assert row["keypoints"] == [6, 6, 2, 0, 0, 0, *[0] * 6], "one row of points per object"
    assert row["negative"] == [0] and row["not_exhaustive"] == [1]
    assert row["sides"] == [20, 12] and row["original_sides"] == [40, 24]
    assert row["masks"][1] == b"", "a box and no mask"
    wanted = np.zeros((12, 20), bool)
    wanted[5:11, 5:15] = True
    assert (decoded(row["masks"][0], 12, 20) == wanted).all()
    empty = {name: lists[1].as_py() for name, lists in found.items()}
    assert empty.pop("sides") == empty.pop("original_sides") == [40, 24]
    assert not any(empty.values())


def test_masks_of_the_stored_size_are_those_of_pycocotools_byte_for_byte():
    rng, things = np.random.default_rng(0), []
    for number in range(60):
        parts = rng.integers(-8, 56, (2, 10)).astype(float).tolist()
        things.append(thing(number, polygons=parts))
    [masks] = box_lists(table(scene(*things)), NUMBER)["masks"].to_pylist()
    for one, mask in zip(things, masks, strict=True):
        assert mask == rle.merge(rle.frPyObjects(one.polygons, 24, 40))["counts"]
    whole = rle.encode(np.asfortranarray(np.ones((24, 40), np.uint8)))["counts"].decode()
    kept = segment_lists(table(scene(thing(rle=Rle(size=(24, 40), counts=whole)))), NUMBER)
    assert kept["panoptic"].to_pylist() == [[whole.encode()]]
    assert kept["panoptic_thing"].to_pylist() == [[True]] and len(kept["panoptic_area"]) == 1


@pytest.mark.parametrize("kind", [box_lists, segment_lists])
@pytest.mark.parametrize(
    ("size", "counts", "fault"),
    [
        ((24, 41), "PN", r"run lengths of another size\)"),
        ((24, 40), "0", r"run lengths of 0 px, and not of the image's 40 x 24\)"),
        ((24, 40), "o", r"run lengths that cannot be read\)"),
    ],
)
def test_a_damaged_mask_is_told_with_its_image(kind, size, counts, fault):
    odd = thing(rle=Rle(size=size, counts=counts))
    with pytest.raises(ValueError, match=rf"a mask of 'dog' in image 'a' is damaged \({fault}: "):
        kind(table(scene(odd), sides=[[20, 12]]), NUMBER)


def test_classes_of_an_image_are_its_labels_once_each():
    scenes = [scene(thing(1), thing(2, "cat"), thing(3)), scene(), scene(thing(1, "bird"))]
    assert label_lists(table(*scenes)).to_pylist() == [["cat", "dog"], [], ["bird"]]
    assert label_lists(table(scene())).to_pylist() == [[]]
    assert label_lists(table(*scenes).slice(1)).to_pylist() == [[], ["bird"]]


def test_masks_of_a_hundred_coco_images_are_those_of_pycocotools():
    folder = os.environ.get("METRICS_REFERENCES")
    if not folder:
        pytest.skip("METRICS_REFERENCES names no folder with the references' repositories")
    coco = COCO(Path(folder) / COCO_SAMPLE)
    number, compared = {str(key): key for key in coco.getCatIds()}, 0
    for info in coco.loadImgs(coco.getImgIds()):
        sides, annotations = (info["width"], info["height"]), coco.imgToAnns[info["id"]]
        things = []
        for each in annotations:
            mask = each["segmentation"]
            said = {"label": str(each["category_id"]), "box": each["bbox"], "area": each["area"]}
            said["rle" if isinstance(mask, dict) else "polygons"] = mask
            things.append(checked_thing(said, *sides, len(things)))
        one = Scene(id="a", image="a.jpg", width=sides[0], height=sides[1], objects=things)
        [masks] = box_lists(table(one), number)["masks"].to_pylist()
        assert masks == [coco.annToRLE(each)["counts"] for each in annotations]
        compared += len(masks)
    assert compared == 839
