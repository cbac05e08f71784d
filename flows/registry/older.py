"""Records and tags of versions that were made when every number was a top-1 accuracy.

A labelled set was then what is a task now, a mode what is a head, and every pretraining was one on
hashtags. All of them are read as versions of the task of that name; nothing is written over.
"""

import math
from collections.abc import Mapping
from typing import Any

from flows.measuring.headline import KEYS, of_tags

# key of today -> keys of the tags that may tell it, the first one known counts
TAGS = {
    "task": ("task", "target"),
    "value": ("value", "top1_mean", "top1"),
    "low": ("low", "top1_low"),
    "high": ("high", "top1_high"),
    "best": ("best", "top1"),
}
RENAMED = {  # key of a record -> key of today
    "target": "task",
    "top1": "best",
    "top1_mean": "value",
    "top1_low": "low",
    "top1_high": "high",
    "top1_lower_bound": "best_bound",
    "top1_mean_lower_bound": "bound",
    "val_top1": "val",
    "top1_seeds": "by_seed",
}
HEADS = {"linear": "logistic", "knn": "knn"}  # by mode; whole networks keep the head they have


def tag(labels: Mapping[str, str], key: str) -> str:
    """A tag of tagdag's by its key of today, under whatever name it was written; or nothing."""
    named = (labels.get(f"tagdag.{each}") for each in TAGS.get(key, (key,)))
    return next((text for text in named if text is not None), "")


def tag_number(labels: Mapping[str, str], key: str) -> float | None:
    """A tag as a finite number; None where there is none, as on versions of other tools."""
    try:
        value = float(tag(labels, key))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether a version was registered with a run and a logged model of its own."""
    return bool(tag(labels, "task"))


def _renamed(score: dict[str, Any]) -> dict[str, Any]:
    """A score of hyper-parameters."""
    return {"score" if key == "top1" else key: value for key, value in score.items()}


def upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the keys of today."""
    if "task" in record or not record:
        return record
    found = {RENAMED.get(key, key): value for key, value in record.items() if key != "mode"}
    found["data"] = f"targets/{record['target']}"
    if record.get("init") == "pretrained":
        found["init"] = f"{record['candidate']}-hashtags"
    head = record.get("head", {"name": "linear"})
    found["head"] = head | {"name": HEADS.get(record["mode"], head["name"])}
    found["scores"] = [_renamed(each) for each in record.get("scores", ())]
    if "top5" in found:
        found["values"] = {"top5": found.pop("top5")}
    about = {"metric": {"name": "accuracy"}, "policy": {"name": "plain"}}
    return about | dict(zip(KEYS, of_tags({}), strict=True)) | found
