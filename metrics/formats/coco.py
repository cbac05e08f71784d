"""COCO's results.json and instances.json (or person keypoints, or LVIS's): predictions, the truth.

- PREDICTIONS: a list of {"image_id", "category_id", "score"} with "bbox" (x, y, width, height),
  "segmentation" (polygons or run lengths) or "keypoints" (x, y, any) beside it.
- TARGETS: {"images", "annotations", "categories"}; annotations likewise, with "area", "iscrowd".
  Of LVIS also "neg_category_ids" and "not_exhaustive_category_ids" of images, "frequency" of
  categories, "ignore" of annotations.

Rows are the images of TARGETS by id, classes its categories by id. As pycocotools has it, boxes may
be of no area, and outside of the image; other than there, the area of a predicted mask is its own
and never its box's, and an annotation may have the id 0.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.blocks.metric import Reads
from metrics.formats.files import repeated
from metrics.formats.json_files import read_large, refuse
from metrics.formats.object_shapes import SHAPE_KEYS, number, shapes_of
from metrics.formats.pair import Pair

Row = dict[str, Any]
PARTS = ("images", "annotations", "categories")
FREQUENCIES = {"r": 0, "c": 1, "f": 2}
LISTS = {"negative": "neg_category_ids", "not_exhaustive": "not_exhaustive_category_ids"}


class Truth(NamedTuple):
    """What a truth file holds: images by id in order, annotations, the class of each category."""

    file: Path
    images: dict[Any, Row]
    annotations: list[Row]
    classes: dict[Any, int]
    categories: list[Row]


def read(predictions: Path, targets: Path, reads: Reads, common: bool = False) -> Pair:
    """What a metric reads, a row per image of the truth; ValueError where a file does not fit.

    common: only images that have predictions, and of these only those of images of the truth.
    """
    truth, results = _truth(targets), _results(predictions)
    alone = [row["image_id"] for row in results if row["image_id"] not in truth.images]
    if common:
        results = [row for row in results if row["image_id"] in truth.images]
        truth = _of_images(truth, {row["image_id"] for row in results}, predictions)
    else:
        fix = "give files of the same images, or --common to count those that both have"
        what = f"predictions are of images that {targets} does not have"
        refuse(predictions, alone, len(results), what, fix)
    _refuse_categories(predictions, results, truth)
    _refuse_categories(targets, truth.annotations, truth)
    given = _columns(predictions, results, truth, {*_flat(reads.predictions)})
    wanted = {*_flat(reads.targets), *reads.more}
    true = _columns(targets, truth.annotations, truth, wanted) | _facts(truth, wanted)
    names = [str(row.get("name", row["id"])) for row in truth.categories]
    return Pair(given, true, names, list(map(str, truth.images)))


def _of_images(truth: Truth, there: set[Any], predictions: Path) -> Truth:
    """The truth of these images; ValueError where there are none."""
    if not there:
        raise ValueError(f"{predictions} and {truth.file} have no image in common")
    images = {key: row for key, row in truth.images.items() if key in there}
    annotations = [row for row in truth.annotations if row["image_id"] in there]
    return truth._replace(images=images, annotations=annotations)


def _refuse_categories(file: Path, rows: Sequence[Row], truth: Truth) -> None:
    """ValueError where an object is of none of the truth's categories."""
    wrong = [row["category_id"] for row in rows if row["category_id"] not in truth.classes]
    fix = f"give ids of the categories of {truth.file}"
    refuse(file, wrong, len(rows), "objects have a category_id that is no category's", fix)


def _flat(names: Iterable[str | tuple[str, ...]]) -> list[str]:
    """All names, those of which any one will do among them."""
    either = [(name,) if isinstance(name, str) else name for name in names]
    return [name for some in either for name in some]


def _truth(file: Path) -> Truth:
    """The truth file, its ids checked."""
    found = read_large(file)
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in PARTS):
        raise ValueError(
            f"{file} has no lists of images, annotations and categories: give the truth in COCO's "
            "format, such as instances_val2017.json, after the predictions"
        )
    for key in PARTS:
        _all_have(file, found[key], ("id",), key)
        what = f"{key} have an id that another one has"
        refuse(
            file, repeated(row["id"] for row in found[key]), len(found[key]), what, "number them"
        )
    _all_have(file, found["annotations"], ("image_id", "category_id"), "annotations")
    images = {row["id"]: row for row in sorted(found["images"], key=_in_order)}
    wrong = [row["id"] for row in found["annotations"] if row["image_id"] not in images]
    what = "annotations (ids) are of images that it does not list"
    refuse(file, wrong, len(found["annotations"]), what, "list the images, or leave these out")
    categories = sorted(found["categories"], key=_in_order)
    classes = {row["id"]: place for place, row in enumerate(categories)}
    return Truth(file, images, found["annotations"], classes, categories)


def _in_order(row: Row) -> tuple[bool, Any]:
    """Ids that are numbers by their value, then the others."""
    key = row["id"]
    return (False, key) if isinstance(key, int | float) else (True, str(key))


def _results(file: Path) -> list[Row]:
    """The file of predictions, their keys and scores checked."""
    found = read_large(file)
    if isinstance(found, dict) and "annotations" in found:
        raise ValueError(
            f"{file} is a file of annotations, where predictions were expected: give the list of "
            "results first, then the truth"
        )
    if not isinstance(found, list):
        raise ValueError(f"{file} is no list of predictions: give COCO's results format")
    _all_have(file, found, ("image_id", "category_id", "score"), "predictions")
    wrong = [place for place, row in enumerate(found) if not number(row["score"])]
    what = "predictions have a score that is NaN or no number (places in the file)"
    fix = "a training that has diverged gives such scores: measure another network"
    refuse(file, wrong, len(found), what, fix)
    return found


def _all_have(file: Path, rows: Sequence[Any], keys: Sequence[str], what: str) -> None:
    """ValueError where an entry is no object, or lacks a key; ids must be numbers or text."""
    for key in keys:
        wrong = [place for place, row in enumerate(rows) if not _has(row, key)]
        said = f"{what} have no {key} (places in the file)"
        refuse(file, wrong, len(rows), said, f"give each a {key}")


def _has(row: Any, key: str) -> bool:
    return isinstance(row, dict) and isinstance(row.get(key), int | float | str)


def _columns(file: Path, rows: Sequence[Row], truth: Truth, wanted: set[str]) -> dict[str, Any]:
    """The columns of objects, a row per image."""
    by_image: dict[Any, list[Row]] = {key: [] for key in truth.images}
    for row in rows:
        by_image[row["image_id"]].append(row)
    columns: dict[str, Any] = {}
    federated = any("neg_category_ids" in row for row in truth.images.values())
    for name in wanted & SHAPE_KEYS.keys():
        columns[name] = shapes_of(name, file, by_image, truth.images)
    wanted |= {"box_sides"} if "boxes" in wanted else set()
    values = {
        "box_sides": lambda row: row["bbox"][2:],
        "box_label": lambda row: truth.classes[row["category_id"]],
        "box_score": lambda row: row["score"],
        "box_crowd": lambda row: bool(row.get("iscrowd")),
        "box_area": lambda row: row["area"] if number(row.get("area")) else torch.nan,
        "box_ignore": lambda row: _ignored(row, "keypoints" in wanted, federated),
    }
    ordered = [row for some in by_image.values() for row in some]
    for name in wanted & values.keys():
        kind = torch.int64 if name == "box_label" else torch.float64
        whole = torch.tensor(list(map(values[name], ordered)), dtype=kind)
        columns[name] = list(whole.split(list(map(len, by_image.values()))))
    return columns


def _ignored(row: Row, people: bool, federated: bool) -> bool:
    """Whether an object is not to be found nor missed: of COCO only one without keypoints."""
    if not people:
        return federated and bool(row.get("ignore"))
    labelled = sum(1 for seen in row.get("keypoints", [])[2::3] if seen > 0)
    return not row.get("num_keypoints", labelled)


def _facts(truth: Truth, wanted: set[str]) -> dict[str, Any]:
    """What is known of images and of classes, beside the objects."""
    images, facts = truth.images.values(), {}
    for name, key in LISTS.items():
        if name in wanted and any(isinstance(row.get(key), list) for row in images):
            facts[name] = [_classes(truth, row, key) for row in images]
    letters = [str(row.get("frequency")) for row in truth.categories]
    if "frequency" in wanted and FREQUENCIES.keys() >= set(letters):
        frequency = torch.tensor([FREQUENCIES[letter] for letter in letters])
        facts["frequency"] = [frequency] * len(images)
    if "group" in wanted and images and all("video_id" in row for row in images):
        videos = [row["video_id"] for row in images]
        numbers = {video: place for place, video in enumerate(dict.fromkeys(videos))}
        facts["group"] = torch.tensor([numbers[video] for video in videos])
    return facts


def _classes(truth: Truth, image: Row, key: str) -> Tensor:
    """The classes that an image names."""
    ids = image.get(key, [])
    wrong = [each for each in ids if each not in truth.classes]
    what = f"{key} of image {image['id']} are none of the categories"
    refuse(truth.file, wrong, len(ids), what, "give ids of its categories")
    return torch.tensor([truth.classes[each] for each in ids], dtype=torch.int64)
