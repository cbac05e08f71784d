"""What was found, as COCO's JSON, maps as PNGs in a folder beside it; and a table for a terminal.

{"images", "errors", "annotations", "maps", "categories"}. An annotation is an object, as in a data
set, with its `score` and the name of its `category`: `bbox` is x, y, width, height in px of the
upright image, `segmentation` COCO's run lengths. Where a policy makes segments the annotations are
those of COCO's panoptic format. Of `maps` of classes each is the `file_name` of a PNG, the px of
each class beside it: a pixel is the `value` of its category, 255 where no class is told. `errors`
are the images that could not be used.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.export.coco import ListFile
from corpus.media.runs import run_lengths
from corpus.names import printable
from corpus.store.write import replacing
from flows.predicting.results import whole
from flows.predicting.scenes import map_of
from flows.predicting.suggesting import LONGEST, UNUSUAL
from models.blocks.detection.scene import UNKNOWN

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".json",)
SHOWN = 20  # images that the table has
MAP = re.compile(r"\d{5,}-[\w.-]*\.png")
LEAST_SHARE = 0.01  # of an image that a class has, to be named
Row = dict[str, Any]
Batches = Callable[[], Iterable["pa.RecordBatch"]]  # gone through several times


def rows_of(batches: Iterable["pa.RecordBatch"]) -> Iterator[tuple[int, Row]]:
    """(number from 1 on, what is kept) of every image."""
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield number, row


def map_name(number: int, image: str) -> str:
    """The file of an image's map, or of its drawing, without the ending."""
    own = PurePosixPath(image.rpartition(":")[2]).stem[-LONGEST:]
    return f"{number:05d}-{UNUSUAL.sub('_', own)}"


def folder_beside(path: Path) -> Path:
    """Of the maps of a JSON: as COCO's panoptic format has it."""
    return path.with_suffix("")


def check_free(path: Path) -> None:
    """ValueError where the folder of the maps of a JSON is one of somebody else's files."""
    folder = folder_beside(path)
    if folder.is_dir():
        other = next((each.name for each in folder.iterdir() if not MAP.fullmatch(each.name)), None)
    else:
        other = folder.name if folder.exists() else None
    if other:
        raise ValueError(
            f"the maps of {path} would be the folder {folder}, where {printable(other)} is: take "
            "another --out"
        )


def write_results(path: Path, batches: Batches, names: Sequence[str]) -> None:
    """Write the JSON, and where there are maps their folder."""
    kept = [name for name in ("segments", "classes") if _any(batches(), name)]
    with ExitStack() as stack:
        part = stack.enter_context(whole(path))
        file = stack.enter_context(closing(ListFile(part, (), ())))
        # segments are made of the classes of pixels, which are not told beside them
        column = kept[0] if kept else ""
        folder = stack.enter_context(replacing(folder_beside(path))) if kept else path.parent
        _write_images(file, batches)
        file.begin("annotations")
        if column == "segments":
            _write_segments(file, batches, folder)
        else:
            _write_objects(file, batches, names)
        file.begin("maps")
        if column == "classes":
            _write_maps(file, batches, folder, names)
        file.begin("categories")
        things = _things(batches) if column == "segments" else None
        for place, name in enumerate(names):
            thing = {} if things is None else {"isthing": int(place in things)}
            file.add({"id": place + 1, "name": name, "value": place, **thing})
        file.end()


def _any(batches: Iterable["pa.RecordBatch"], column: str) -> bool:
    return any(batch[column].null_count < len(batch) for batch in batches)


def _write_images(file: ListFile, batches: Batches) -> None:
    file.begin("images")
    for number, row in rows_of(batches()):
        if row["error"] is None:
            sides = {"width": row["width"], "height": row["height"]}
            file.add({"id": number, "file_name": row["image"], **sides})
    file.begin("errors")
    for _, row in rows_of(batches()):
        if row["error"] is not None:
            file.add({"file_name": row["image"], "error": row["error"]})


def _write_objects(file: ListFile, batches: Batches, names: Sequence[str]) -> None:
    ids = 0
    for number, row in rows_of(batches()):
        for entry in objects_of(row, names):
            ids += 1
            file.add({"id": ids, "image_id": number, **entry})


def objects_of(row: Row, names: Sequence[str]) -> Iterator[Row]:
    """The objects of an image as COCO has them."""
    labels = row["labels"] or []
    for place, label in enumerate(labels):
        left, top, right, bottom = row["boxes"][4 * place : 4 * place + 4]
        # as many digits as a float32 has
        box = [float(f"{each:.7g}") for each in (left, top, right - left, bottom - top)]
        entry = {"category_id": label + 1, "category": names[label], "bbox": box}
        entry |= {"area": float(f"{box[2] * box[3]:.7g}"), "iscrowd": 0}
        if row["masks"] is not None:
            size, counts = [row["height"], row["width"]], row["masks"][place]
            entry["area"] = int(run_lengths(counts.encode())[1::2].sum())
            entry["segmentation"] = {"size": size, "counts": counts}
        yield entry | {"score": float(f"{row['scores'][place]:.7g}")}


def _write_segments(file: ListFile, batches: Batches, folder: Path) -> None:
    for number, row in rows_of(batches()):
        if row["segments"] is None:
            continue
        name = f"{map_name(number, row['image'])}.png"
        (folder / name).write_bytes(row["segments"])
        infos = []
        for segment, area in _areas(row["segments"]).items():
            if segment:
                category = row["segment_labels"][segment - 1] + 1
                told = {"id": segment, "category_id": category, "area": area, "iscrowd": 0}
                infos.append(told)
        file.add({"image_id": number, "file_name": name, "segments_info": infos})


def _write_maps(file: ListFile, batches: Batches, folder: Path, names: Sequence[str]) -> None:
    for number, row in rows_of(batches()):
        if row["classes"] is None:
            continue
        name = f"{map_name(number, row['image'])}.png"
        (folder / name).write_bytes(row["classes"])
        areas = _areas(row["classes"])
        told = {names[label]: area for label, area in areas.items() if label != UNKNOWN}
        file.add({"image_id": number, "file_name": name, "areas": told})


def _areas(png: bytes) -> dict[int, int]:
    """Pixels of each number of a map."""
    numbers, areas = np.unique(map_of(png), return_counts=True)
    return dict(zip(numbers.tolist(), areas.tolist(), strict=True))


def _things(batches: Batches) -> set[int]:
    """Classes of which segments are countable things."""
    found: set[int] = set()
    for _, row in rows_of(batches()):
        pairs = zip(row["segment_labels"] or (), row["segment_things"] or (), strict=True)
        found |= {label for label, thing in pairs if thing}
    return found


def table_lines(batches: Iterable["pa.RecordBatch"], names: Sequence[str]) -> list[str]:
    """A line for each of the first images, and one for all: how many objects of which class."""
    lines, total, left = [], Counter(), 0
    for _, row in rows_of(batches):
        if row["error"] is not None:
            continue
        counts = counted(row)
        total.update(counts)
        if len(lines) < SHOWN:
            lines.append((printable(row["image"]), said(row, counts, names)))
        else:
            left += 1
    width = max((len(name) for name, _ in lines), default=0)
    told = [f"{name.ljust(width)}  {text}" for name, text in lines]
    if left:
        told.append(f"and {left:,} more images")
    if total and (len(lines) > 1 or left):
        told.append(f"all: {_listed(total, names)}")
    return told


def counted(row: Row) -> Counter[int]:
    """Objects of each class; of a map of segments these, stuff among them."""
    labels = row["segment_labels"] if row["segments"] is not None else row["labels"]
    return Counter(labels or ())


def said(row: Row, counts: Counter[int], names: Sequence[str]) -> str:
    """`3 dog, 1 cat`; of a map of classes `61 % sky, 30 % road`."""
    told = [_listed(counts, names)] if counts else []
    if row["classes"] is not None and row["segments"] is None:
        told.append(_shares(map_of(row["classes"]), names))
    return "; ".join(told) or "nothing"


def _listed(counts: Counter[int], names: Sequence[str]) -> str:
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count:,} {printable(names[label])}" for label, count in ordered)


def _shares(classes: np.ndarray, names: Sequence[str]) -> str:
    areas = np.bincount(classes[classes != UNKNOWN], minlength=len(names)) / classes.size
    order = np.argsort(-areas, kind="stable").tolist()
    large = [place for place in order if areas[place] >= LEAST_SHARE]
    return ", ".join(f"{100 * areas[place]:.0f} % {printable(names[place])}" for place in large)
