"""The run that a registered version comes from, and its logged model: all that MLflow's pages show.

MLflow's Compare shows the numbers of a version's *source run*: versions that share one would show
each other's. So every model gets a child run of the stage register, named after model and weights.
It is not the child of evaluate: that one is missing where DVC restored the stage from its cache, or
where the tracking server is another.

Every step finds what an earlier try has left, so it bears repetition.
"""

import math
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.core.digest import digest
from flows.measuring.lognumbers import record_numbers
from flows.measuring.summary import SCRATCH
from flows.registry import modelcard
from flows.running import settings
from flows.tracking import tracking
from flows.tracking.outage import retry

FINETUNED, PRETRAINED = "fine-tuning", "pretraining"
MOST = 100  # params and tags in one call, MLflow's limit


def does_not_exist(error: Exception) -> bool:
    """Whether MLflow says that there is no such thing, not that it is away or refuses."""
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


@retry
def _writer(weights: str, experiment: str) -> str | None:
    """Id of the latest run that wrote a weight file with this digest."""
    order = {"max_results": 1, "order_by": ["attributes.start_time DESC"]}
    where = f"tags.`tagdag.wrote` = '{weights}'"
    found = tracking.connect().search_runs([experiment], where, **order)
    return found[0].info.run_id if found else None


def maker_runs(record: dict[str, Any], labels: dict[str, str], experiment: str) -> dict[str, str]:
    """Ids of the runs that made a model, as far as they are in this experiment."""
    first = settings.OUT / "pretrain" / record["init"] / "model.safetensors"
    pretrained = Path(record.get("pretraining", first))  # of several, its own
    weights = {FINETUNED: labels["tagdag.weights"]}
    if record["init"] != SCRATCH and pretrained.is_file():
        weights[PRETRAINED] = digest(pretrained)
    runs = {what: _writer(key, experiment) for what, key in weights.items()}
    return {what: run for what, run in runs.items() if run}


@retry
def has_logged_model(model_id: str | None) -> bool:
    """Whether a logged model is there still."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(model_id) and bool(tracking.connect().get_logged_model(model_id))
    except MlflowException as error:
        if not does_not_exist(error):
            raise
        return False


@retry
def is_active(run_id: str) -> bool:
    """Whether a run is there and not deleted: others take no metrics."""
    from mlflow.exceptions import MlflowException

    try:
        return tracking.connect().get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if not does_not_exist(error):
            raise
        return False


def plain_name(record: dict[str, Any]) -> str:
    """The model's name without what MLflow refuses in names and in searches."""
    return record["model"].translate(dict.fromkeys(map(ord, "/:.%\"'"), "_"))


@retry
def _logged_model(record: dict[str, Any], labels: dict[str, str], run: tracking.Run) -> Any:
    """The logged model of a source run, which has one: found, or made."""
    client = tracking.connect()
    found = client.search_logged_models([run.experiment], f"source_run_id = '{run.id}'")
    if found:
        return found[0]
    about = {"params": modelcard.record_params(record), "model_type": "tagdag"}
    return client.create_logged_model(
        run.experiment, plain_name(record), run.id, tags=labels, **about
    )


@retry
def _filled(model: Any, record: dict[str, Any]) -> None:
    """Weights, record and schema of a logged model; one that has them is left as it is."""
    if str(model.status) == "READY":
        return
    client = tracking.connect()
    client.log_model_artifact(model.model_id, record["weights"])
    with tempfile.TemporaryDirectory() as folder:
        modelcard.write_model_files(Path(folder), record, model.model_id)
        client.log_model_artifacts(model.model_id, folder)
    # last: one that is not READY is filled anew
    client.finalize_logged_model(model.model_id, "READY")


@retry
def log_numbers(
    run_id: str, model_id: str, values: dict[str, float], data: tuple[str, str]
) -> None:
    """Log numbers of a model on its run and on its own page; NaN takes back one that is there.

    data: name and digest of what it was tested on.
    """
    from mlflow.entities import Metric

    client, now, (name, key) = tracking.connect(), int(time.time() * 1000), data
    known = client.get_run(run_id).data.metrics
    # MLflow keeps 36 characters of a digest
    about = {"model_id": model_id, "dataset_name": name, "dataset_digest": key[:36]}
    metrics = [
        Metric(number, value, now, 0, run_id=run_id, **about)
        for number, value in values.items()
        if number in known or not math.isnan(value)
    ]
    client.log_batch(run_id, metrics=metrics, synchronous=True)


@retry
def _described(run_id: str, params: dict[str, str], tags: dict[str, str]) -> None:
    from mlflow.entities import Param, RunTag

    client, items = tracking.connect(), list(params.items())
    named = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(items), MOST):
        some = [Param(*item) for item in items[start : start + MOST]]
        client.log_batch(run_id, params=some, tags=named, synchronous=True)


def source_run(
    record: dict[str, Any], labels: dict[str, str], run: tracking.Run
) -> tuple[str, str]:
    """Ids of the run and the logged model that a version is made from, with all they say."""
    data = record["data"], record["test"]
    # with the weights in the name: trained anew, a model of the same name gets a run of its own
    with run.child(f"{plain_name(record)} {labels['tagdag.weights'][:8]}") as child:
        _described(child.id, modelcard.record_params(record), labels)
        size = {key: record[key] for key in ("samples", "duplicates")}
        child.dataset(*data, f"out/corpus/{data[0]}", size, "test")
        model = _logged_model(record, labels, child)
        _filled(model, record)
        log_numbers(child.id, model.model_id, record_numbers(record), data)
    return child.id, model.model_id
