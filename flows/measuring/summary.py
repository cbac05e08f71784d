"""One record per model out of its seeds, and what pretraining adds: all that is told of a number.

Every interval is one of 95 % over seeds and test samples together, as far as the metric tells them
(flows/measuring/intervals.py); the end of one is called its low or its high end. A gain is positive
where a model is better, whichever way the metric points. `bound`, a lower bound, is Mahajan's
(2018, arXiv 1805.00932) and means duplicates that count as wrong, nothing else.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flows.measuring.headline import KEYS, Headline, of_record
from flows.measuring.predictions import Examined, Model, Predicted, resampled_of, values_of

SCRATCH = "scratch"
ARM = ("candidate", "task", "init", "head", "labels", "size")
CHOICE = ("chosen", "scores", "fit", "held_out")
# of the registered seed
OWN = ("seed", "weights", "best", "best_bound", "values", "samples")
Record = dict[str, Any]


def head_name(record: Record) -> str:
    """The name of a record's head, which may be written as its section."""
    head = record["head"]
    return str(head["name"] if isinstance(head, dict) else head)


def pretraining_name(record: Record) -> str:
    """A model's pretraining without its candidate, as another candidate may have had it too.

    `hashtags` of winner's winner-hashtags; `scratch`.
    """
    return str(record["init"]).removeprefix(f"{record['candidate']}-")


def arm_of(record: Record) -> tuple[Any, ...]:
    """What the seeds of a model have in common, values in the order of ARM."""
    return tuple((record | {"head": head_name(record)})[key] for key in ARM)


def named(record: Record) -> str:
    """What a model is called."""
    return "-".join(map(str, arm_of(record))) + "px"


def best_seed(seeds: Sequence[Record]) -> Record:
    """The one that is registered: the best on validation, the first of equal ones."""
    headline = of_record(seeds[0])
    return max(seeds, key=lambda record: (headline.merit(record["val"]), -record["seed"]))


def pretrainings(seeds: list[Record]) -> int:
    """How many pretrainings the seeds of a model come from; none from scratch.

    Of one its chance is not in the interval: all seeds share it.
    """
    if seeds[0]["init"] == SCRATCH:
        return 0
    return len({record.get("pretraining") for record in seeds})


def _numbers(
    images: Examined, predicted: Sequence[Predicted], headline: Headline
) -> dict[str, Any]:
    """The headline's mean over seeds, its interval and its lower bound."""
    # SciPy, which --help need not wait for
    from flows.measuring import intervals

    values = values_of(predicted)
    each = [one.numbers for one in predicted]
    if values is None:
        value, low, high = intervals.of_seeds(each, headline)
    else:
        value, low, high = intervals.of_values(values, headline)
    found = {"value": value, "low": low, "high": high}
    found["by_seed"] = [numbers[headline.name] for numbers in each]
    whole = values is not None and values.shape[1] == len(images.ids)
    if whole and headline.higher and headline.unit == "%":
        # of shares, so that those of hits add up without rounding
        found["bound"] = 100 * float((values / 100 * ~images.duplicate).mean())
    return found


def model_record(
    seeds: list[Record],
    images: Examined,
    predicted: list[Predicted],
    more: Record,
) -> Record:
    """One model out of its seeds: the weights are those of the seed with the best validation."""
    best, headline = best_seed(seeds), of_record(seeds[0])
    kept = (*ARM, *OWN, *CHOICE, "pretraining")
    return {
        "model": named(best),
        **{key: best[key] for key in kept if key in best},
        **dict(zip(KEYS, headline, strict=True)),
        **_numbers(images, predicted, headline),
        "val": float(np.mean([record["val"] for record in seeds])),
        "seeds": [record["seed"] for record in seeds],
        "pretrainings": pretrainings(seeds),
        **more,
    }


def _pairs(models: list[Model], other: Record) -> Iterator[tuple[Record, Record, tuple]]:
    """Each model that differs from `other`, its pair, and what the seeds of both predicted.

    A pair is equal but for the keys of `other`; a pretraining is the same whatever the candidate.
    Paired: seed by seed, which have the same labels, and test sample by test sample.
    """

    def key(record: Record) -> tuple[Any, ...]:
        return arm_of(record | {"init": pretraining_name(record)})

    by_arm = {key(record): (record, seeds) for record, _, seeds in models}
    for record, _, ours in models:
        wanted = key(record | {"init": pretraining_name(record)} | other)
        found = by_arm.get(wanted)
        # seeds are paired by their place: with another number of them there is nothing to pair
        if found and wanted != key(record) and len(found[1]) == len(ours):
            yield record, found[0], (ours, found[1])


def _gain(headline: Headline, ours: list[Predicted], theirs: list[Predicted]) -> tuple:
    from flows.measuring import intervals

    mine, others = values_of(ours), values_of(theirs)
    if mine is not None and others is not None and mine.shape == others.shape:
        return intervals.gain_of_values(mine, others, headline)
    name = headline.name
    by_seed = [one.numbers[name] for one in ours], [one.numbers[name] for one in theirs]
    one, other = resampled_of(ours), resampled_of(theirs)
    both = None if one is None or other is None else (one, other)
    return intervals.gain_of_seeds(*by_seed, headline, both)


def gains(models: list[Model]) -> list[Record]:
    """What pretraining adds to from-scratch where all else is equal."""
    found = []
    for record, other, both in _pairs(models, {"init": SCRATCH}):
        headline = of_record(record)
        gain, low, high = _gain(headline, *both)
        about = {key: record[key] for key in (*ARM, "model", *KEYS, "pretrainings", "network")}
        found.append(
            about
            | {"gain": gain, "gain_low": low, "gain_high": high}
            | {"value": record["value"], "scratch": other["value"]}
            | {"seeds": len(both[0]), "samples": record["samples"]}
        )
    return found


def over_reference(models: list[Model], reference: str) -> None:
    """Give every record that has one what it is better by than the reference of the search.

    `over_reference`, with the ends of its interval: the network that a search calls its winner may
    lose to the reference, once both are trained for longer.
    """
    for record, _, both in _pairs(models, {"candidate": reference}):
        gain, low, high = _gain(of_record(record), *both)
        record["over_reference"] = gain
        record |= {"over_reference_low": low, "over_reference_high": high}
