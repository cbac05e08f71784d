"""What a registered model says of itself: tags, params, numbers and the `MLmodel` file.

MLflow's pages read different places. Compare shows the params and metrics of each version's source
run and the schema in `MLmodel`; the logged model's page shows its own params and metrics. All are
made here from one record of the stage evaluate, so they cannot differ.
"""

import json
import math
from pathlib import Path
from typing import Any

from corpus.pages.markdown import told
from engine.core.digest import digest
from flows.measuring.headline import KEYS, of_record
from flows.measuring.lognumbers import NAMED
from flows.measuring.summary import ARM, head_name
from flows.serving.flavour import RECORD, write_flavour
from flows.tracking.refusals import flat_section

MODEL_ID = "tagdag.model_id"
LOADS = {"tagdag.flavour": "pyfunc"}  # tag of a version whose files are all there
DESCRIBED = ("model", "size", "device", "clock", "dtype")
# best: of the version's own weights; value, low and high end: over its seeds and test samples
TESTED = ("best", "value", "low", "high")
MEASURED = ("flops", "latency_p50_ms")
NONE = "none"  # a number that there is not: MLflow takes back no tag
STALE = ("best_bound", "bound", "over_reference", "over_reference_low", "over_reference_high")


def version_tags(record: dict[str, Any], origin: dict[str, str]) -> dict[str, str]:
    """What every model version carries: origin, what it is, what it was tested on, first numbers.

    Raises ValueError when the record's weight file is missing.
    """
    weights = Path(record["weights"])
    if not weights.is_file():
        fix = "run the stages finetune and evaluate again, or `dvc checkout`"
        raise ValueError(f"{weights}, the weights of {record['model']}, is missing: {fix}")
    named = {key: record[key] for key in DESCRIBED if key in record}
    named |= {key: f"{record[key]:.6g}" for key in MEASURED}
    named |= {"parameters": record["params"], "weights": digest(weights)}
    if "busy" in record:  # whether other work took the processors while costs were measured
        named["busy"] = record["busy"] or "no"
    labels = {f"tagdag.{key}": str(value) for key, value in named.items()}
    return origin | labels | result_tags(record)


def result_tags(record: dict[str, Any]) -> dict[str, str]:
    """What a model was tested on, how, and what came of it."""
    found = {key: _number(record.get(key)) for key in TESTED}
    found |= {"task": record["task"], "test": record["test"], "metric": record["metric"]["name"]}
    found |= dict(zip(KEYS, of_record(record), strict=True))
    found["seeds"] = len(record["seeds"])  # in the mean
    return {f"tagdag.{key}": str(value) for key, value in found.items()}


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.6g}"


def unknown(record: dict[str, Any]) -> dict[str, float]:
    """What no longer holds of a model that is tested anew, as metrics that take it back.

    Of duplicates and the reference nothing is known on a new split.
    """
    name = of_record(record).name
    return {NAMED.get(key, key).format(name): math.nan for key in STALE}


def version_identity(labels: dict[str, str]) -> tuple[str | None, ...]:
    """What makes two versions the same: weights, the pixels they are given, params and commit."""
    return tuple(labels.get(f"tagdag.{key}") for key in ("weights", "size", "params", "commit"))


def record_params(record: dict[str, Any]) -> dict[str, str]:
    """The fine-tuning arm, what was chosen, and the sections that the network is built from."""
    sections = _about(record).get("sections", {})
    arm = {key: record[key] for key in ARM} | {"head": head_name(record)}
    arm |= {"metric": record["metric"], "policy": record.get("policy", {})}
    counts = ("fit", "held_out", "seeds", "pretrainings")
    some = {key: record[key] for key in counts if key in record}
    nested = {"chosen": record["chosen"], "network": sections}
    return {key: str(value) for key, value in flat_section(arm | some | nested).items()}


def _about(record: dict[str, Any]) -> dict[str, Any]:
    """The metadata of the weight file."""
    from engine.core import checkpoint  # torch, which --help need not

    return checkpoint.load_tensors(Path(record["weights"]))[1]


def write_model_files(folder: Path, record: dict[str, Any], model_id: str) -> None:
    """Write what makes a Python function of the weights (flows/serving/flavour.py), and the record
    as JSON.
    """
    about, weights = _about(record), Path(record["weights"]).name
    write_flavour(folder, weights, record["size"], about, model_id=model_id)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def description(record: dict[str, Any], runs: dict[str, str], experiment: str) -> str:
    """A line for the version's page, in Markdown; `runs`: ids by what was done in them."""
    line = told(record["model"])  # no numbers: they may be renewed, and stand in the tags
    page = f"#/experiments/{experiment}/runs"
    return ", ".join([line, *(f"[{name}]({page}/{run})" for name, run in runs.items())])
