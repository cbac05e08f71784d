"""A model out of the registry, tested on the images that there are now."""

from pathlib import Path
from typing import Any

from engine.core.network import load_network
from engine.core.samples import Rows, open_split
from engine.training.accuracy import measure_accuracy
from flows.running import settings


def test_again(weights: Path, record: dict[str, Any]) -> dict[str, float]:
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
    found = {
        split: measure_accuracy(module, Rows(shards, "labels", size=record["size"])).compute()
        for split, shards in splits.items()
    }
    # one seed's weights: the interval is Wilson's, of the test images alone
    test = found["test"] | {"top1_mean": found["test"]["top1"]}
    return test | {"val_top1": found["val"]["top1"]}
