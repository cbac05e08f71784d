"""What is told of a task's models beside their numbers: out/evaluate/<task>/details/details.json.

Of tasks of scenes, by model: rows by class of each seed, curves, errors, confusion, calibration of
each seed, and images to be looked at of the seed that is registered. Of other tasks nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.measuring.predictions import Model

FOLDER, FILE = "details", "details.json"
Details = dict[str, Any]
# of each seed; what else there is comes from the seed that is registered
EACH = ("rows", "picture", "errors", "calibration", "ap_fixed", "ap_pool", "least", "quality")
EACH += ("found_per_image", "numbers")


def of_model(record: Mapping[str, Any], seeds: Sequence[Details]) -> Details:
    """What is told of one model out of what its seeds say."""
    own = seeds[record["seeds"].index(record["seed"])]
    found = {key: value for key, value in own.items() if key not in EACH}
    whole = sum(np.array(each["confusion"], np.int64) for each in seeds)
    found["confusion"] = np.asarray(whole).tolist()
    by_seed = [_picked(each) for each in seeds]
    return found | {"seed": record["seed"], "by_seed": by_seed}


def _picked(details: Details) -> Details:
    return {key: details[key] for key in EACH if key in details}


def write(out: Path, models: Sequence[Model]) -> None:
    """Write the file of a task: {"names": of the classes, "models": by name}."""
    told: Details = {"names": [], "models": {}}
    for record, images, seeds in models:
        told["names"] = list(images.classes)
        known = [each.details | {"numbers": each.numbers} for each in seeds if each.details]
        if known and len(known) == len(seeds):
            told["models"][record["model"]] = of_model(record, known)
    (out / FOLDER).mkdir(exist_ok=True)
    text = json.dumps(told, allow_nan=True, ensure_ascii=False)
    (out / FOLDER / FILE).write_text(text + "\n", encoding="utf-8")


def read(out: Path) -> Details:
    """What `write` has left; of a stage that ran before there was such a file nothing.

    ValueError where it is damaged.
    """
    file = out / FOLDER / FILE
    if not file.is_file():
        return {"names": [], "models": {}}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        assert {"names", "models"} <= found.keys()
        return found
    except (ValueError, AssertionError, AttributeError) as error:
        again = "run the stage evaluate again"
        raise ValueError(f"{file} cannot be read ({error}): {again}") from error
