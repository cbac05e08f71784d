"""The drawn set of objects: exact, of every sort, the same bytes for the same seed."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from corpus.drawn.objects import draw_images, main, object_records, write_source
from corpus.drawn.segments import ASPECTS, LEAST
from engine.core.digest import digest

IMAGES = (40, 8, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "objects"
    write_source(folder, IMAGES, seed=1, size=64)
    return folder


def read(folder, name: str) -> dict:
    return json.loads((folder / "annotations" / f"{name}.json").read_text())


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_masks_boxes_areas_and_maps_agree_pixel_by_pixel(folder, split):
    coco, panoptic = (
        COCO(folder / f"annotations/instances_{split}.json"),
        read(folder, f"panoptic_{split}"),
    )
    stuff = {one["id"] for one in panoptic["categories"] if not one["isthing"]}
    things = 0
    for info, said in zip(panoptic["images"], panoptic["annotations"], strict=True):
        assert said["image_id"] == info["id"]
        with Image.open(folder / split / info["file_name"]) as image:
            assert image.size == (info["width"], info["height"]) and image.format == "JPEG"
        png = Image.open(folder / f"annotations/panoptic_{split}" / said["file_name"])
        ids = np.asarray(png, np.int64) @ [1, 256, 65536]
        assert ids.shape == (info["height"], info["width"])
        objects = {one["id"]: one for one in coco.loadAnns(coco.getAnnIds(info["id"]))}
        assert {*np.unique(ids)} - {0} == {one["id"] for one in said["segments_info"]}
        for one in said["segments_info"]:
            mask = ids == one["id"]
            y, x = np.nonzero(mask)
            box = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
            assert one["area"] == mask.sum() and one["bbox"] == box
            if one["category_id"] in stuff:
                assert one["id"] not in objects
                continue
            other = objects.pop(one["id"])
            assert (coco.annToMask(other) == mask).all()
            packed = coco.annToRLE(other)
            assert rle.area(packed) == other["area"] == one["area"]
            assert rle.toBbox(packed).tolist() == other["bbox"] == one["bbox"]
            assert isinstance(other["segmentation"]["counts"], list) == bool(one["iscrowd"])
            assert other["iscrowd"] == one["iscrowd"] and other["area"] >= LEAST
            things += 1
        assert not objects, "all of them are in the map"
    assert things > len(panoptic["images"])


def test_there_is_everything_that_data_sets_have():
    drawn = list(draw_images(0, (120, 0, 0), 64))
    sides = {one.scene.numbers.shape for one in drawn}
    assert len(sides) == len(ASPECTS) and {max(each) for each in sides} == {64}
    counts, crowds, grounds = [], [], set()
    for one in drawn:
        things = [segment for segment in one.scene.segments if segment.thing]
        counts.append(len(things))
        crowds.append(any(segment.crowd for segment in things))
        grounds.add(len(one.scene.segments) - len(things))
    assert counts.count(0) > 5 and max(counts) > 5
    assert 10 < sum(crowds) < 60
    assert any((one.scene.numbers == 0).any() for one in drawn), "void, where hardly any is seen"
    assert {2, 3} <= grounds
    for one in drawn:  # a mask may be hidden in part: painter's order
        pixels = np.asarray(Image.open(BytesIO(one.scene.image)))
        assert pixels.shape[:2] == one.scene.numbers.shape and pixels.std() > 5


def test_the_same_seed_gives_the_same_bytes_and_more_begin_alike(folder, tmp_path):
    write_source(tmp_path / "again", IMAGES, seed=1, size=64)
    assert digest(tmp_path / "again") == digest(folder)
    few = [image for _, image in object_records(1, (5, 0, 0), 64, "boxes")]
    more = [image for _, image in object_records(1, (9, 0, 0), 64, "panoptic")]
    assert few == more[:5] and len({*more}) == 9
    assert few != [image for _, image in object_records(2, (5, 0, 0), 64, "boxes")]


def test_the_command_tells_how_to_import_it_and_writes_over_nothing(tmp_path, capsys):
    main(tmp_path / "set", 2, 1, 1)
    told = capsys.readouterr().out
    assert "--kind boxes --target objects" in told and "--kind panoptic --target" in told
    with pytest.raises(SystemExit, match="is not empty; name another folder"):
        main(tmp_path / "set", 2, 1, 1)
