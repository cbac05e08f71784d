"""A model out of the registry, tested on the images that there are now."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from corpus.reading.shards import Shards
from engine.core.network import load_network
from engine.core.samples import Rows, open_split
from engine.training.predicting import scored
from flows.measuring.answers import answered
from flows.measuring.predictions import Examined, Predicted, rows_of
from flows.running import settings
from metrics.accuracy import Accuracy


class Retested(NamedTuple):
    """Accuracies in percent, and what the weights answered to every test image."""

    numbers: dict[str, float]
    answers: pa.Table


def _answers(test: Shards, record: dict[str, Any], one: Predicted) -> pa.Table:
    """A row per test image, as the stage evaluate keeps them."""
    labels = test.labels(torch.arange(len(test))).short().numpy()
    # which of them the posts show is not known of a new split
    images = Examined(list(test.ids), labels, np.zeros(len(test), bool), list(test.names))
    return rows_of(record | {"seeds": [record.get("seed") or 0]}, images, [one])


def test_again(weights: Path, record: dict[str, Any]) -> Retested:
    """Accuracy of a weight file on test and validation split of its target, in percent.

    Images are resized to the record's size. Raises ValueError when there is no such target, or it
    has other classes.
    """
    target, (module, names) = record["target"], load_network(weights)
    folder = settings.OUT / "corpus" / "targets" / target
    if not folder.is_dir():
        raise ValueError(f"there is no labelled set {target!r} now")
    splits = {split: open_split(folder, split) for split in ("test", "val")}
    if list(splits["test"].names) != list(names):
        raise ValueError(f"the classes of {target} are others than those it was trained on")
    rows = {name: Rows(split, module.reads, size=record["size"]) for name, split in splits.items()}
    metric, one = answered(module, rows["test"])
    test, val = metric.compute(), scored(module, rows["val"], Accuracy()).compute()
    # one seed's weights: the interval is Wilson's, of the test images alone
    numbers = test | {"top1_mean": test["top1"], "val_top1": val["top1"]}
    return Retested(numbers, _answers(splits["test"], record, one))
