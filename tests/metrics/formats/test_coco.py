"""COCO's files: what is read of them, and one clear message for whatever is wrong with them."""

import json
import math
import sys

import pytest
import torch
from pycocotools import mask

from metrics.coco_ap import CocoAP
from metrics.formats.coco import read
from metrics.lvis_ap import LvisAP
from metrics.uvo_ar import UvoAR
from tests.metrics.detection.cases import written

SIZE = {"height": 40, "width": 50}
POLYGON = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]]


def rle(height: int = 40, width: int = 50) -> dict:
    [found] = mask.frPyObjects(POLYGON, height, width)
    return {"size": [height, width], "counts": found["counts"].decode()}


def small() -> tuple[dict, list]:
    """A truth of two images and three objects, two of which are found."""
    images = [{"id": 9, "file_name": "b.jpg", **SIZE}, {"id": 2, "file_name": "a.jpg", **SIZE}]
    box = {"bbox": [10, 10, 10, 10.5], "segmentation": POLYGON, "area": 90.0, "iscrowd": 0}
    annotations = [
        {"id": 1, "image_id": 9, "category_id": 50, **box},
        {"id": 2, "image_id": 9, "category_id": 7, **box, "iscrowd": 1},
        {"id": 3, "image_id": 2, "category_id": 50, **box},
    ]
    categories = [{"id": 50, "name": "cat"}, {"id": 7, "name": "dog"}]
    shape = {"bbox": [10, 10, 10, 10], "segmentation": rle()}
    results = [
        {"image_id": 9, "category_id": 50, "score": 0.5, **shape},
        {"image_id": 9, "category_id": 7, "score": 1, **shape},
    ]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def test_images_and_categories_are_in_order_of_their_ids(tmp_path):
    pair = read(*written(tmp_path, *small()), CocoAP().reads)
    assert pair.samples == ["2", "9"] and pair.names == ["dog", "cat"]
    assert [each.tolist() for each in pair.predictions["box_label"]] == [[], [1, 0]]
    assert pair.predictions["boxes"][1].tolist() == [[10, 10, 20, 20]] * 2
    assert pair.targets["boxes"][0].tolist() == [[10, 10, 20, 20.5]]
    assert [each.tolist() for each in pair.targets["box_crowd"]] == [[0], [0, 1]]
    assert pair.targets["box_area"][1].tolist() == [90, 90]
    assert pair.predictions.keys() == {"boxes", "box_sides", "box_label", "box_score"}
    assert pair.targets["box_sides"][0].tolist() == [[10, 10.5]]
    assert "group" not in pair.targets


def test_masks_are_filled_or_taken_as_they_are(tmp_path):
    truth, results = small()
    counts = [410, 10, 30, 10, 2000 - 460]
    truth["annotations"][1]["segmentation"] = {"size": [40, 50], "counts": counts}
    pair = read(*written(tmp_path, truth, results), CocoAP(of="masks").reads)
    filled, given = pair.targets["masks"][1], pair.predictions["masks"][1]
    assert mask.area(filled).tolist() == [100, 20] and mask.area(given).tolist() == [100, 100]
    assert filled[0] == given[0]


def test_what_lvis_tells_of_images_and_categories_is_read(tmp_path):
    truth, results = small()
    for row, letter in zip(truth["categories"], "fr", strict=True):
        row["frequency"] = letter
    truth["images"][0] |= {"neg_category_ids": [7], "not_exhaustive_category_ids": [50, 7]}
    truth["images"][0]["video_id"] = truth["images"][1]["video_id"] = "x"
    truth["annotations"][2]["ignore"] = 1
    targets = read(*written(tmp_path, truth, results), LvisAP().reads).targets
    assert [each.tolist() for each in targets["negative"]] == [[], [0]]
    assert [each.tolist() for each in targets["not_exhaustive"]] == [[], [1, 0]]
    assert [each.tolist() for each in targets["frequency"]] == [[0, 2]] * 2
    assert [each.tolist() for each in targets["box_ignore"]] == [[1], [0, 0]]
    assert targets["group"].tolist() == [0, 0]


def test_common_leaves_out_images_that_one_file_alone_has(tmp_path):
    truth, results = small()
    results.append(results[0] | {"image_id": 77})
    files = written(tmp_path, truth, results)
    pair = read(*files, CocoAP().reads, common=True)
    assert pair.samples == ["9"] and len(pair.targets["boxes"]) == 1
    assert len(pair.predictions["boxes"][0]) == 2
    files = written(tmp_path, truth, results[2:])
    with pytest.raises(ValueError, match=r"results.json and .*truth.json have no image in common"):
        read(*files, CocoAP().reads, common=True)


def test_boxes_of_no_area_or_outside_are_taken(tmp_path):
    truth, results = small()
    for box in ([5, 5, 0, 3], [-20, 30, 10, 10], [200, 1, 50, 50]):
        results.append(results[0] | {"bbox": box, "score": 0.9})
    truth["annotations"][2]["bbox"] = [-5, -5, 0, 0]
    pair = read(*written(tmp_path, truth, results), CocoAP().reads)
    metric = CocoAP()
    metric.update(pair.predictions, pair.targets)
    # of two cats one is found, by the last of four
    assert metric.compute()["ap50"] == pytest.approx(100 * 51 / 101 / 4)


def edited(place: str, key: str, value: object):
    """The small files with one value of a first entry changed; `...` takes it away."""

    def edit() -> tuple[dict, list]:
        truth, results = small()
        row = (results if place == "results" else truth[place])[0]
        row[key] = value
        if value is ...:
            del row[key]
        return truth, results

    return edit


def without_images() -> tuple[dict, list]:
    truth, results = small()
    del truth["images"]
    return truth, results


def twice(place: str):
    def edit() -> tuple[dict, list]:
        truth, results = small()
        truth[place].append(truth[place][0])
        return truth, results

    return edit


BOXES = {
    "scores that are NaN": (
        edited("results", "score", math.nan),
        r"results.json: 1 of 2 predictions have a score that is NaN or no number \(.*0\); a trai",
    ),
    "scores that are text": (edited("results", "score", "high"), "1 of 2 predictions have a score"),
    "no scores": (edited("results", "score", ...), r"1 of 2 predictions have no score .*\(0\)"),
    "unknown images": (
        edited("results", "image_id", 5),
        r"1 of 2 predictions are of images that .*truth.json does not have \(5\); .* --common",
    ),
    "unknown categories": (
        edited("results", "category_id", 8),
        r"1 of 2 objects have a category_id that is no category's \(8\); give ids .*truth.json",
    ),
    "unknown categories of the truth": (
        edited("annotations", "category_id", 8),
        r"truth.json: 1 of 3 objects have a category_id that is no category's \(8\)",
    ),
    "annotations of unknown images": (
        edited("annotations", "image_id", 8),
        r"1 of 3 annotations \(ids\) are of images that it does not list \(1\)",
    ),
    "annotations twice": (
        twice("annotations"),
        r"1 of 4 annotations have an id that another .*1\)",
    ),
    "images twice": (twice("images"), r"1 of 3 images have an id that another one has \(9\)"),
    "categories twice": (twice("categories"), r"1 of 3 categories have an id that another .*50\)"),
    "boxes of three numbers": (
        edited("results", "bbox", [1, 2, 3]),
        "1 of 2 boxes are no four num",
    ),
    "boxes of a negative side": (edited("results", "bbox", [1, 2, -3, 4]), "or of a negative side"),
    "boxes that are NaN": (
        edited("annotations", "bbox", [1, math.nan, 3, 4]),
        "1 of 3 boxes are no",
    ),
    "no boxes": (
        edited("results", "bbox", ...),
        "1 of 2 objects have no bbox .*give a file of boxes",
    ),
    "truth where predictions were expected": (
        lambda: (small()[0], small()[0]),
        "results.json is a file of annotations, where predictions were expected",
    ),
    "predictions where the truth was expected": (
        lambda: (small()[1], small()[1]),
        "truth.json has no lists of images, annotations and categories: give the truth",
    ),
    "a truth without images": (
        without_images,
        "has no lists of images, annotations and categories",
    ),
    "no list": (lambda: (small()[0], {"a": 1}), "results.json is no list of predictions"),
    "a list of numbers": (lambda: (small()[0], [1, 2, 3]), r"3 of 3 predictions have no image_id"),
}
MASKS = {
    "no masks": (edited("results", "segmentation", ...), "1 of 2 objects have no segmentation"),
    "masks of another size": (
        edited("results", "segmentation", rle(50, 40)),
        r"results.json: 1 of 2 masks are no polygons .* no run lengths of their image's size \(one",
    ),
    "run lengths that do not fill the image": (
        edited("results", "segmentation", {"size": [40, 50], "counts": "PP1"}),
        "results.json: 1 of 2 masks have counts that do not add up to the 2000 pixels",
    ),
    "run lengths that are no such text": (
        edited("results", "segmentation", {"size": [40, 50], "counts": "!!"}),
        "results.json: .*counts of a mask",
    ),
    "run lengths as numbers that do not fill": (
        edited("annotations", "segmentation", {"size": [40, 50], "counts": [3, -3, 2000]}),
        r"truth.json: 1 of 3 masks are no .*\(id 1\)",
    ),
    "lines": (edited("annotations", "segmentation", [[1, 2, 3, 4]]), "no polygons of three points"),
    "far away": (edited("annotations", "segmentation", [[1, 2, 3, 4, 5, 1e9]]), "1 of 3 masks"),
    "no polygons": (edited("annotations", "segmentation", []), r"1 of 3 masks are no .*\(id 1\)"),
    "images too large": (
        edited("images", "width", 10**9),
        "image 9 is of height 40 and width 1000",
    ),
    "images of no size": (
        edited("images", "height", 0),
        "image 9 is of height 0 and width 50; give",
    ),
}


@pytest.mark.parametrize("wrong", BOXES)
def test_what_is_wrong_with_boxes_is_told(wrong, tmp_path):
    edit, message = BOXES[wrong]
    with pytest.raises(ValueError, match=message):
        read(*written(tmp_path, *edit()), UvoAR().reads)


@pytest.mark.parametrize("wrong", MASKS)
def test_what_is_wrong_with_masks_is_told(wrong, tmp_path):
    edit, message = MASKS[wrong]
    with pytest.raises(ValueError, match=message):
        read(*written(tmp_path, *edit()), CocoAP(of="masks").reads)


def test_people_without_keypoints_are_told(tmp_path):
    truth, results = small()
    for row in (*truth["annotations"], *results):
        row["keypoints"] = [1, 2, 2] * 17
    truth["annotations"][0] |= {"num_keypoints": 0}
    reads = CocoAP(of="keypoints").reads
    found = read(*written(tmp_path, truth, results), reads)
    assert found.predictions["keypoints"][1].shape == (2, 17, 3)
    assert [each.tolist() for each in found.targets["box_ignore"]] == [[0], [1, 0]]
    for points, message in (
        ([1, 2, 2] * 16, r"keypoints of \[48, 51\] numbers; give x, y, visibility"),
        (["a"] * 51, "1 of 2 objects have keypoints that are no numbers"),
        (None, "1 of 2 objects have no keypoints"),
    ):
        results[0]["keypoints"] = points
        with pytest.raises(ValueError, match=message):
            read(*written(tmp_path, truth, results), reads)


@pytest.mark.parametrize("which", [0, 1])
def test_files_that_are_cut_short_are_told(which, tmp_path):
    files = written(tmp_path, *small())
    text = files[which].read_text()
    for broken in (text[: len(text) // 2], "", "[" * 100_000):
        files[which].write_text(broken)
        with pytest.raises(ValueError, match=rf"{files[which].name} is no JSON, or only a part"):
            read(*files, CocoAP().reads)
    files[which].write_bytes(b"\x00\xff")
    with pytest.raises(ValueError, match=rf"{files[which].name}, line 1: no UTF-8 .byte 0xff"):
        read(*files, CocoAP().reads)


def test_the_command_prints_numbers_and_draws(tmp_path, monkeypatch, capsys):
    from metrics.cli.command import main

    files = written(tmp_path, *small())
    options = ["--of", "masks", "--json", "--picture", str(tmp_path / "curve.png")]
    monkeypatch.setattr(sys, "argv", ["metrics.coco_ap", *map(str, files), *options])
    with pytest.raises(SystemExit) as ended:
        main(CocoAP)
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    found = json.loads(printed.out)
    assert found["ap"] == pytest.approx(100 * 51 / 101)
    assert [row["class"] for row in found["rows"]] == ["dog", "cat"]
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert torch.tensor([row["ap"] for row in found["rows"]]).tolist()[0] == -1
