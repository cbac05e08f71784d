"""One record per model out of its seeds, and what pretraining adds: all that is told of accuracy.

Every interval is one of 95 % over seeds and test images together (engine/measure/intervals.py); the
end of one is called its low or its high end. `lower bound` is Mahajan's (2018, arXiv 1805.00932)
and means duplicates that count as wrong, nothing else.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import numpy as np

from flows.measuring.predictions import Examined, Model, Predicted, hits
from flows.measuring.verdict import REFERENCE

ARM = ("candidate", "target", "init", "mode", "labels", "size")
CHOICE = ("chosen", "scores", "fit", "held_out")
# of the registered seed
OWN = ("seed", "weights", "head", "top1", "top1_lower_bound", "top5", "samples")
Record = dict[str, Any]


def named(record: Record) -> str:
    """What a model is called."""
    return "-".join(str(record[key]) for key in ARM) + "px"


def best_seed(seeds: list[Record]) -> Record:
    """The one that is registered: the best validation accuracy, the first of equal ones."""
    return max(seeds, key=lambda record: (record["val_top1"], -record["seed"]))


def pretrainings(seeds: list[Record]) -> int:
    """How many pretrainings the seeds of a model come from; none from scratch.

    Of one its chance is not in the interval: all seeds share it.
    """
    if seeds[0]["init"] != "pretrained":
        return 0
    return len({record.get("pretraining") for record in seeds})


def model_record(
    seeds: list[Record],
    images: Examined,
    predicted: list[Predicted],
    more: Record,
) -> Record:
    """One model out of its seeds: the weights are those of the seed with the best validation."""
    # SciPy, which --help need not wait for
    from engine.measure.intervals import accuracy_interval

    best, right = best_seed(seeds), hits(images, predicted)
    mean, low, high = accuracy_interval(right)
    kept = (*ARM, *OWN, *CHOICE, "pretraining")
    return {
        "model": named(best),
        **{key: best[key] for key in kept if key in best},
        "top1_mean": mean,
        "top1_low": low,
        "top1_high": high,
        "top1_mean_lower_bound": 100 * float((right & ~images.duplicate).mean()),
        "val_top1": float(np.mean([record["val_top1"] for record in seeds])),
        "seeds": [record["seed"] for record in seeds],
        "pretrainings": pretrainings(seeds),
        "top1_seeds": [100 * share for share in right.mean(1).tolist()],
        **more,
    }


def _pairs(models: list[Model], key: str, other: str) -> Iterator[tuple[Record, tuple]]:
    """Each model whose `key` is another, its hits and those of the one equal but for it.

    Paired: seed by seed, which have the same labels, and test image by test image.
    """
    arm_of = itemgetter(*ARM)
    by_arm = {arm_of(record): answers for record, *answers in models}
    for record, *ours in models:
        theirs = by_arm.get(arm_of(record | {key: other}))
        # seeds are paired by their place: with another number of them there is nothing to pair
        if record[key] != other and theirs and len(theirs[1]) == len(ours[1]):
            yield record, (hits(*ours), hits(*theirs))


def gains(models: list[Model]) -> list[Record]:
    """Points that pretraining adds to from-scratch where all else is equal."""
    return [_gain(record, *both) for record, both in _pairs(models, "init", "scratch")]


def over_reference(models: list[Model]) -> None:
    """Give every record that has one the points that it is above the reference of the search.

    `over_reference`, with the ends of its interval: the network that a search calls its winner may
    lose to the reference, once both are trained for longer.
    """
    from engine.measure.intervals import gain_interval

    for record, both in _pairs(models, "candidate", REFERENCE):
        points, low, high = gain_interval(*both)
        record["over_reference"] = points
        record |= {"over_reference_low": low, "over_reference_high": high}


def _gain(record: Record, ours: np.ndarray, theirs: np.ndarray) -> Record:
    from engine.measure.intervals import gain_interval

    mean, low, high = gain_interval(ours, theirs)
    return {
        **{key: record[key] for key in ARM if key != "init"},
        "gain": mean,
        "gain_low": low,
        "gain_high": high,
        "pretrained": 100 * float(ours.mean()),
        "scratch": 100 * float(theirs.mean()),
        "seeds": len(ours),
        "pretrainings": record["pretrainings"],
        "samples": ours.shape[1],
        "network": record["network"],
    }
