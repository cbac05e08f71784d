"""A stored set of panoptic maps as COCO's: a JSON for each split and a folder of PNGs beside it."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from corpus.export.coco import ListFile, write_files
from corpus.export.stored import Export, Stored, Survey, file_of
from corpus.media.runs import decoded
from corpus.records.objects import Scene


def write_panoptic(stored: Stored, out: Path) -> Export:
    """annotations/panoptic_<split>.json and annotations/panoptic_<split>/; or `out`, a .json, and
    the folder that is called as it is.
    """
    return write_files(stored, out, "panoptic", _annotations, own_ids=False)


def _annotations(
    scene: Scene, image: int, file: ListFile, survey: Survey
) -> Iterator[dict[str, Any]]:
    """The one of a map, whose PNG is written."""
    name = str(PurePosixPath(file_of(scene)).with_suffix(".png"))
    target = file.path.with_suffix("") / name
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coloured(segment_map(scene))).save(target)
    segments = _segments(scene, survey)
    yield {"image_id": image, "file_name": name, "segments_info": segments}


def _segments(scene: Scene, survey: Survey) -> list[dict[str, Any]]:
    found = []
    for thing in scene.objects:
        entry: dict[str, Any] = {"id": thing.id, "category_id": survey.categories.of(thing)}
        area = int(thing.area)
        found.append(entry | {"bbox": [*thing.box], "area": area, "iscrowd": int(thing.crowd)})
    return found


def segment_map(scene: Scene) -> np.ndarray:
    """int32 (height, width): the id of the segment of each pixel, 0 where there is none."""
    ids = np.zeros((scene.height, scene.width), np.int32)
    for thing in scene.objects:
        ids[decoded(thing.rle.counts.encode(), *ids.shape)] = thing.id
    return ids


def coloured(ids: np.ndarray) -> np.ndarray:
    """uint8 (height, width, 3) of ids: id = R + 256 G + 65536 B."""
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=2).astype(np.uint8)
