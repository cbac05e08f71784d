"""A model out of the registry, tested on the samples that there are now."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from engine.core.network import load_network
from engine.core.samples import open_split
from flows.data.intact import named_set
from flows.measuring import intervals, records
from flows.measuring.headline import of_record
from flows.measuring.predictions import Examined, Predicted, rows_of, values_of


class Retested(NamedTuple):
    """What a record says of a model's test, and what the weights answered to every sample."""

    numbers: dict[str, Any]
    answers: pa.Table


def _answers(folder: Path, record: dict[str, Any], one: Predicted) -> pa.Table:
    """A row per test sample, as the stage evaluate keeps them."""
    images = records.images(folder)
    # which of them the posts show is not known of a new split
    none = np.zeros(len(images.ids), bool)
    examined = Examined(images.ids, images.label, none, images.names)
    return rows_of(record | {"seeds": [record.get("seed") or 0]}, examined, [one])


def test_again(weights: Path, record: dict[str, Any]) -> Retested:
    """The metric of a weight file on test and validation split of its task.

    record: of the model, with data, metric and policy that it is tested by; samples are resized to
    its size. Raises ValueError when there is no such data, or it has other classes.
    """
    folder, names = named_set(record["data"]), load_network(weights)[1]
    if not folder.is_dir():
        raise ValueError(f"there is no labelled set {folder.name!r} now")
    if list(open_split(folder, "test").names) != list(names):
        raise ValueError(f"the classes of {folder.name} are others than those it was trained on")
    found, one = records.tested(weights, folder, record["size"], set(), record)
    # one seed's weights: the interval is that of the test samples alone
    headline, values = of_record(found), values_of([one])
    ends = intervals.of_seeds([one.numbers], headline)
    if values is not None:
        ends = intervals.of_values(values, headline)
    found.pop("best_bound", None)
    numbers = found | {"value": found["best"], "low": ends[1], "high": ends[2]}
    return Retested(numbers, _answers(folder, record, one))
