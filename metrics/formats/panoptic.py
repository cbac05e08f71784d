"""A JSON of COCO's panoptic format, beside it the folder of its PNGs: its name without .json.

Or the folder, beside which its JSON is. cocodataset.org, Data format, Panoptic Segmentation: the id
of a segment is red + 256 green + 256^2 blue of its pixels, and a PNG has black where nothing is
known. Classes are those of the truth's categories, in their order.

Maps are decoded when a metric asks for them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics.blocks.decoded import Decoded
from metrics.blocks.metric import Reads
from metrics.blocks.refusing import some
from metrics.formats import pngs
from metrics.formats.files import known_only, repeated
from metrics.formats.json_files import read_large, refuse
from metrics.formats.pair import Pair

HIGHEST = 2**24 - 1
Entry = Mapping[str, Any]


def read(
    predictions: Path, targets: Path, reads: Reads, common: bool = False, threads: int | None = None
) -> Pair:
    """Maps and segments of both, in the order of the predictions; ValueError tells what is wrong.

    threads: that decode maps ahead; None: as many as there are processors.
    """
    threads = pngs.threads() if threads is None else threads
    given, true = _content(predictions), _content(targets)
    categories = _categories(true, targets)
    places = {category["id"]: place for place, category in enumerate(categories)}
    mine, others = (
        _images(content, path, places) for content, path in ((given, predictions), (true, targets))
    )
    images = _matched(mine, others, common)
    found = _columns([mine[image] for image in images], predictions, places, threads)
    real = [others[image] for image in images]
    answers = _columns(real, targets, places, threads)
    answers |= _more(real, categories)
    names = [str(category.get("name", category["id"])) for category in categories]
    return Pair(found, answers, names, list(map(str, images)))


def _columns(
    images: Sequence[Entry], path: Path, places: Mapping[int, int], threads: int
) -> dict[str, Any]:
    folder = _files(path)[1]
    files = [folder / image["file_name"] for image in images]
    return {
        "panoptic": Decoded(files, pngs.decoded_ids, threads),
        "panoptic_label": _each(images, lambda segment: places[segment["category_id"]]),
        "panoptic_id": _each(images, lambda segment: segment["id"]),
    }


def _more(images: Sequence[Entry], categories: Sequence[Entry]) -> dict[str, Any]:
    """What the truth alone has."""
    columns: dict[str, Any] = {
        "panoptic_crowd": _each(images, lambda segment: bool(segment.get("iscrowd", 0)))
    }
    if all("area" in segment for image in images for segment in image["segments_info"]):
        columns["panoptic_area"] = _each(images, lambda segment: float(segment["area"]))
    if all("isthing" in category for category in categories):
        things = [place for place, category in enumerate(categories) if category["isthing"]]
        columns["panoptic_things"] = [torch.tensor(things)] * len(images)
    return columns


def _each(images: Sequence[Entry], value: Callable[[Entry], Any]) -> list[Tensor]:
    return [torch.tensor(list(map(value, image["segments_info"]))) for image in images]


def _files(path: Path) -> tuple[Path, Path]:
    """(JSON, folder), of which one was named."""
    if path.is_dir():
        return path.parent / f"{path.name}.json", path
    return path, path.parent / path.name.removesuffix(".json")


def _content(path: Path) -> Entry:
    file, folder = _files(path)
    if file == folder or not folder.is_dir():
        raise ValueError(f"{file} has no folder {folder.name} of its PNGs beside it: name X.json")
    if not file.is_file():
        raise ValueError(f"{file} is not there: a folder of PNGs has its JSON beside it")
    content = read_large(file)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError(f"{file} has no list of annotations: give COCO's panoptic format")
    return content


def _categories(content: Entry, path: Path) -> list[Entry]:
    categories = content.get("categories")
    if not isinstance(categories, list) or not categories:
        raise ValueError(f"{path} has no categories: the truth's say which classes there are")
    _once([category.get("id") for category in categories], f"{path}: categories")
    return categories


def _images(content: Entry, path: Path, places: Mapping[int, int]) -> dict[Any, Entry]:
    """The annotations by image; ValueError for one that cannot be used."""
    wrong = [entry for entry in content["annotations"] if not _whole(entry)]
    if wrong:
        raise ValueError(
            f"{path}: {len(wrong)} of {len(content['annotations'])} annotations lack image_id, "
            f"segments_info or a file_name within the folder, as {str(wrong[0])[:80]}"
        )
    images = {entry["image_id"]: entry for entry in content["annotations"]}
    _once([entry["image_id"] for entry in content["annotations"]], f"{path}: annotations of images")
    segments = [(image, each) for image, entry in images.items() for each in entry["segments_info"]]
    _refuse(segments, _numbered, path, f"have an id that is no whole number of 1 to {HIGHEST}")
    _refuse(segments, _measured, path, "have an area that is no number of 0 or more")
    known = partial(_of_category, places)
    _refuse(segments, known, path, f"have a category_id that is none of the truth's {len(places)}")
    for image, entry in images.items():
        _once([each["id"] for each in entry["segments_info"]], f"{path}, image {image}: segments")
    return images


def _whole(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("segments_info"), list):
        return False
    name = entry.get("file_name")
    if "image_id" not in entry or not isinstance(name, str) or not name:
        return False
    within = not Path(name).is_absolute() and ".." not in Path(name).parts
    return within and all(isinstance(each, dict) for each in entry["segments_info"])


def _of_category(places: Mapping[int, int], segment: Entry) -> bool:
    return segment.get("category_id") in places


def _numbered(segment: Entry) -> bool:
    found = segment.get("id")
    return type(found) is int and 1 <= found <= HIGHEST


def _measured(segment: Entry) -> bool:
    area = segment.get("area", 0)
    return isinstance(area, int | float) and math.isfinite(area) and area >= 0


def _refuse(
    segments: Sequence[tuple[Any, Entry]], fits: Callable[[Entry], bool], path: Path, what: str
) -> None:
    wrong = [(image, segment) for image, segment in segments if not fits(segment)]
    listed = [f"image {image}: {str(segment)[:60]}" for image, segment in wrong]
    refuse(path, listed, len(segments), f"segments {what}", "correct them, or leave them out")


def _once(ids: Sequence[Any], what: str) -> None:
    more = repeated(ids)
    if more:
        told = f"{what} have {len(more)} ids more than once ({some(more)})"
        raise ValueError(f"{told}: give each once")


def _matched(given: Mapping[Any, Entry], true: Mapping[Any, Entry], common: bool) -> list[Any]:
    """Images of both, in the order of the predictions."""
    known_only(given, true, common, "predictions are of images without a truth")
    known_only(true, given, common, "images of the truth have no prediction")
    return [image for image in given if image in true]
