"""Test images to be looked at: the best, the typical and the worst of a network, with what is true
and what was found of each, for a JSON file.

Masks, and the segments of maps, are run lengths as COCO has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from flows.measuring.objectdetails import Image, missed_from
from flows.measuring.verdicts import KINDS
from metrics.blocks.metric import Batch

EACH = 3  # images of each rank
CHOSEN_OF = 1000  # test images that they are chosen of: those are held until all are known
FALSE_MOST = 40  # detections of an image, the surest
RANKS = ("best", "typical", "worst")
UNKNOWN = 255
Entry = dict[str, Any]


def chosen(qualities: ndarray, sizes: ndarray) -> list[tuple[str, int]]:
    """(rank, image) of those to be shown, each once.

    sizes: how much there is to see. Of images as good the one of more goes first; those of nothing
    come after all others, and have no say in what is typical.
    """
    numbers, empty = np.arange(len(qualities)), (sizes == 0) & bool(sizes.any())
    middle = abs(qualities - np.median(qualities[~empty])) if len(qualities) else qualities
    orders = {
        "best": np.lexsort((numbers, -sizes, -qualities, empty)),
        "worst": np.lexsort((numbers, -sizes, qualities, empty)),
        "typical": np.lexsort((numbers, -sizes, middle, empty)),
    }
    taken: dict[int, str] = {}
    # of a few images the best and the worst are the ones to be seen
    for rank, order in orders.items():
        free = [number for number in order.tolist() if number not in taken]
        most = min(EACH, max(1, len(qualities) // len(RANKS)))
        taken |= dict.fromkeys(free[:most], rank)
    return [(rank, number) for rank in RANKS for number, of in taken.items() if of == rank]


def kept_rows(batch: Batch, names: Sequence[str]) -> list[Entry]:
    """The columns of these names, a dictionary for each row, on the CPU."""
    there = [name for name in names if name in batch]
    columns = [list(map(_on_cpu, batch[name])) for name in there]
    return [dict(zip(there, row, strict=True)) for row in zip(*columns, strict=True)]


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def objects_entry(given: Entry, true: Entry, image: Image, least: float) -> Entry:
    """What is found of an image from this score on, and what is true of it."""
    missed = missed_from(image, least)
    found = []
    for place, row in enumerate(image.order.tolist()):
        if image.scene.scores[place] < least or len(found) == FALSE_MOST:
            break
        one = _object(given, row) | {"score": round(float(image.scene.scores[place]), 4)}
        owner = int(image.verdicts.owner[place])
        found.append(one | {"kind": KINDS[image.verdicts.kind[place]], "owner": owner})
    real = []
    for row in range(len(image.scene.true_labels)):
        free, lost = bool(image.scene.free[row]), bool(missed[row])
        real.append(_object(true, row) | {"free": free, "missed": lost})
    return {"found": found, "true": real}


def _object(columns: Mapping[str, Any], row: int) -> Entry:
    entry: Entry = {"label": int(columns["box_label"][row])}
    if "boxes" in columns:
        box = np.asarray(columns["boxes"][row], float).round(2)
        entry["box"] = box.tolist()
    if "masks" in columns:
        entry["mask"] = _runs(columns["masks"][row])
    return entry


def _runs(mask: Mapping[str, Any]) -> Entry:
    counts = mask["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in mask["size"]], "counts": text}


def semantic_entry(columns: Mapping[str, Any]) -> list[Entry]:
    """The classes of a map, each with its pixels."""
    map_ = np.asarray(columns["semantic"])
    labels = np.unique(map_)
    labels = labels[labels != UNKNOWN].tolist()
    return [{"label": label, "mask": encoded_map(map_ == label)} for label in labels]


def panoptic_entry(columns: Mapping[str, Any]) -> list[Entry]:
    """The segments of a map, each with its class and pixels."""
    map_ = np.asarray(columns["panoptic"]) & 0xFFFFFF
    labels = np.asarray(columns["panoptic_label"]).tolist()
    ids = np.asarray(columns.get("panoptic_id", np.arange(1, len(labels) + 1))).tolist()
    crowd = np.asarray(columns.get("panoptic_crowd", np.zeros(len(labels)))).astype(bool).tolist()
    found = []
    for label, key, many in zip(labels, ids, crowd, strict=True):
        found.append({"label": label, "mask": encoded_map(map_ == key), "free": many})
    return found


def encoded_map(mask: ndarray) -> Entry:
    """Run lengths of bool (h, w)."""
    from pycocotools import mask as runs

    return _runs(runs.encode(np.asfortranarray(mask, np.uint8)))
