"""What a network predicts of test images in the files of the field, beside what is true of them.

- objects: results.json and instances.json, as COCO has them (cocodataset.org, Results and Data
  format): `python -m metrics.coco_ap results.json instances.json`, and pycocotools. Images have the
  numbers 1, 2, ... in the order of the test split, classes likewise. COCO has no place for objects
  that are to be neither found nor missed: they are written as crowds, with "ignore": 1. Where there
  are masks results.json has them alone, since pycocotools takes the area of a box that lies beside
  a mask for the mask's; the boxes are in results_boxes.json.
- panoptic maps: panoptic_results.json and panoptic_truth.json beside folders of PNGs,
- semantic maps: the folders semantic_results and semantic_truth, PNGs of grey.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

from flows.measuring.details import FOLDER
from flows.measuring.scenedetails import OBJECTS, PANOPTIC, SEMANTIC
from metrics.blocks.metric import Batch

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 100  # characters of a file's name
BYTE = 255
Entry = dict[str, Any]


class FileNames:
    """File names for ids of images, which strangers have given: each once, and in no folder."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, key: str) -> str:
        """The next name, without an ending."""
        stem = UNSAFE.sub("_", key.removesuffix(Path(key).suffix))[-LONGEST:].strip(".") or "image"
        name, more = stem, 1
        while name.lower() in self._given:
            more += 1
            name = f"{stem}-{more}"
        self._given.add(name.lower())
        return name


class ObjectFiles:
    """COCO's JSON of detections and of annotated objects."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names
        self._images: list[Entry] = []
        self._found: list[Entry] = []
        self._true: list[Entry] = []

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in n images; masks as run lengths."""
        for row, key in enumerate(ids):
            number = len(self._images) + 1
            self._images.append({"id": number, "file_name": key} | _sides(true, row))
            scores = _plain(given["box_score"][row])
            for one, score in zip(_objects(given, row, number), scores, strict=True):
                self._found.append(one | {"score": score})
            for place, one in enumerate(_objects(true, row, number)):
                about = {"id": len(self._true) + 1, **_about(true, row, place, one)}
                self._true.append(one | about)

    def write(self) -> None:
        """Write both files."""
        categories = [{"id": place, "name": name} for place, name in enumerate(self._names, 1)]
        truth = {"images": self._images, "annotations": self._true, "categories": categories}
        found = {"results.json": self._found}
        if any("segmentation" in one for one in self._found):
            found["results_boxes.json"] = [_without(one, "segmentation") for one in self._found]
            found["results.json"] = [_without(one, "bbox") for one in self._found]
        for name, rows in found.items():
            _write_json(self._folder / name, rows)
        _write_json(self._folder / "instances.json", truth)


def _objects(batch: Batch, row: int, number: int) -> list[Entry]:
    labels = _plain(batch["box_label"][row])
    entries = [{"image_id": number, "category_id": label + 1} for label in labels]
    if "boxes" in batch:
        boxes = np.array(_plain(batch["boxes"][row]), float).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        for entry, box in zip(entries, boxes.tolist(), strict=True):
            entry["bbox"] = box
    for entry, mask in zip(entries, batch["masks"][row] if "masks" in batch else (), strict=False):
        entry["segmentation"] = {"size": [*mask["size"]], "counts": _text(mask["counts"])}
    return entries


def _without(entry: Entry, key: str) -> Entry:
    return {name: value for name, value in entry.items() if name != key}


def _about(true: Batch, row: int, place: int, one: Entry) -> Entry:
    """What an annotation has beside its shape."""
    there = [name for name in ("box_crowd", "box_ignore") if name in true]
    flags = {name: bool(true[name][row][place]) for name in there}
    ignored = flags.get("box_ignore", False)
    entry: Entry = {"iscrowd": int(flags.get("box_crowd", False) or ignored)}
    if ignored:
        entry["ignore"] = 1
    if "box_area" in true:
        area = float(true["box_area"][row][place])
    elif "segmentation" in one:
        from pycocotools import mask

        area = float(mask.area(one["segmentation"]))
    else:
        area = one["bbox"][2] * one["bbox"][3]
    return entry | ({} if np.isnan(area) else {"area": area})


def _sides(true: Batch, row: int) -> Entry:
    if "sides" in true:
        width, height = _plain(true["sides"][row])
    elif len(true.get("masks", [()] * (row + 1))[row]):
        height, width = true["masks"][row][0]["size"]
    else:
        return {}
    return {"width": int(width), "height": int(height)}


class PanopticFiles:
    """COCO's panoptic PNGs and their JSON, of both sides."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._names, self._files = names, FileNames()
        self._sides = [folder / f"panoptic_{side}" for side in ("results", "truth")]
        self._images: list[Entry] = []
        self._annotations: tuple[list[Entry], list[Entry]] = ([], [])
        self._things = [1] * len(names)
        for each in self._sides:
            each.mkdir()

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in n images."""
        for row, key in enumerate(ids):
            number, file = len(self._images) + 1, f"{self._files.of(key)}.png"
            for folder, listed, batch in zip(
                self._sides, self._annotations, (given, true), strict=True
            ):
                map_, segments = _segments(batch, row)
                _write_ids(folder / file, map_)
                entry = {"image_id": number, "file_name": file, "segments_info": segments}
                listed.append(entry)
            height, width = map_.shape
            about = {"id": number, "file_name": key, "width": width, "height": height}
            self._images.append(about)
            if "panoptic_thing" in true:
                pairs = (_plain(true[name][row]) for name in ("panoptic_label", "panoptic_thing"))
                for label, thing in zip(*pairs, strict=True):
                    self._things[label] = int(thing)

    def write(self) -> None:
        """Write both JSON files."""
        categories = []
        for place, (name, thing) in enumerate(zip(self._names, self._things, strict=True), 1):
            categories.append({"id": place, "name": name, "isthing": thing})
        for folder, listed in zip(self._sides, self._annotations, strict=True):
            whole = {"images": self._images, "annotations": listed, "categories": categories}
            _write_json(folder.with_suffix(".json"), whole)


def _segments(batch: Batch, row: int) -> tuple[ndarray, list[Entry]]:
    """(the map of ids, its segments)."""
    map_ = np.array(_plain(batch["panoptic"][row]), np.int64) & 0xFFFFFF
    labels = _plain(batch["panoptic_label"][row])
    ids = list(range(1, len(labels) + 1))
    if "panoptic_id" in batch:
        ids = _plain(batch["panoptic_id"][row])
    crowd = [0] * len(labels)
    if "panoptic_crowd" in batch:
        crowd = _plain(batch["panoptic_crowd"][row])
    areas = np.bincount(map_.ravel(), minlength=max(ids, default=0) + 1)
    told = [float(areas[key]) for key in ids]
    if "panoptic_area" in batch:
        told = _plain(batch["panoptic_area"][row])
    segments = []
    for key, label, many, area in zip(ids, labels, crowd, told, strict=True):
        about = {"id": key, "category_id": label + 1, "iscrowd": int(many), "area": area}
        segments.append(about)
    return map_, segments


def _write_ids(file: Path, map_: ndarray) -> None:
    colours = np.stack([map_ % 256, map_ // 256 % 256, map_ // 65536], 2)
    Image.fromarray(colours.astype(np.uint8)).save(file)


class SemanticFiles:
    """PNGs of the numbers of classes, of both sides; 255 where there is none."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._files, self._folder, self._names = FileNames(), folder, names
        self._sides = [folder / f"semantic_{side}" for side in ("results", "truth")]
        for each in self._sides:
            each.mkdir()

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in n images."""
        for row, key in enumerate(ids):
            file = f"{self._files.of(key)}.png"
            for folder, batch in zip(self._sides, (given, true), strict=True):
                map_ = np.array(_plain(batch["semantic"][row]), np.int64)
                wide = map_.max(initial=0) > BYTE
                Image.fromarray(map_.astype(np.uint16 if wide else np.uint8)).save(folder / file)

    def write(self) -> None:
        """Write which number is which class."""
        _write_json(self._folder / "semantic_classes.json", list(self._names))


FILES: Mapping[str, Callable[[Path, Sequence[str]], Any]] = {
    OBJECTS: ObjectFiles,
    PANOPTIC: PanopticFiles,
    SEMANTIC: SemanticFiles,
}


def field_files(out: Path, kind: str, names: Sequence[str]) -> Any:
    """What takes in predictions and targets, batch by batch, and writes them into `out`/details.

    kind: of flows/measuring/scenedetails.py. names: of the classes.
    """
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        # of an earlier run, which may have had other images
        if file.is_dir():
            shutil.rmtree(file)
    return FILES[kind](folder, names)


def _write_json(file: Path, whole: Any) -> None:
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _plain(column: Any) -> Any:
    return column.detach().cpu().tolist() if hasattr(column, "detach") else list(column)


def _text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
