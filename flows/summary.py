"""One record per model out of its seeds, and what pretraining adds: all that is told of accuracy.

Every interval is one of 95 % over seeds and test images together (engine/intervals.py); the end of
one is called its low or its high end. `lower bound` is Mahajan's (2018, arXiv 1805.00932) and means
duplicates that count as wrong, nothing else.
"""

from typing import Any

import numpy as np

from flows.predictions import Examined, Predicted, hits

ARM = ("candidate", "target", "init", "mode", "labels", "size")
CHOICE = ("chosen", "scores", "fit", "held_out")
OWN = ("seed", "weights", "head", "top1", "top1_lower_bound", "top5", "samples")  # of the registered seed
Record = dict[str, Any]


def named(record: Record) -> str:
    """What a model is called."""
    return "-".join(str(record[key]) for key in ARM) + "px"


def best_seed(seeds: list[Record]) -> Record:
    """The one that is registered: the best validation accuracy, the first of equal ones."""
    return max(seeds, key=lambda record: (record["val_top1"], -record["seed"]))


def model_record(
    seeds: list[Record],
    images: Examined,
    predicted: list[Predicted],
    more: Record,
) -> Record:
    """One model out of its seeds: the weights are those of the seed with the best validation."""
    from engine.intervals import accuracy_interval

    best, right = best_seed(seeds), hits(images, predicted)
    mean, low, high = accuracy_interval(right)
    return {
        "model": named(best),
        **{key: best[key] for key in (*ARM, *OWN, *CHOICE)},
        "top1_mean": mean,
        "top1_low": low,
        "top1_high": high,
        "top1_mean_lower_bound": 100 * float((right & ~images.duplicate).mean()),
        "val_top1": float(np.mean([record["val_top1"] for record in seeds])),
        "seeds": [record["seed"] for record in seeds],
        "top1_seeds": [100 * share for share in right.mean(1).tolist()],
        **more,
    }


def gains(models: list[tuple[Record, Examined, list[Predicted]]]) -> list[Record]:
    """Points that pretraining adds to from-scratch where all else is equal.

    Paired: seed by seed, which have the same labels, and test image by test image.
    """
    by = {tuple(record[key] for key in ARM): each for record, *each in models}
    rows = []
    for record, images, ours in models:
        arm = {key: record[key] for key in ARM}
        scratch = by.get(tuple((arm | {"init": "scratch"}).values()))
        if record["init"] == "pretrained" and scratch:
            rows.append(_gain(arm, hits(images, ours), hits(*scratch), record["network"]))
    return rows


def _gain(arm: Record, ours: np.ndarray, theirs: np.ndarray, network: str) -> Record:
    from engine.intervals import gain_interval

    mean, low, high = gain_interval(ours, theirs)
    return {
        **{key: value for key, value in arm.items() if key != "init"},
        "gain": mean,
        "gain_low": low,
        "gain_high": high,
        "pretrained": 100 * float(ours.mean()),
        "scratch": 100 * float(theirs.mean()),
        "seeds": len(ours),
        "samples": ours.shape[1],
        "network": network,
    }
