"""The files of a registered version, or of what a run keeps, brought here out of MLflow."""

import json
from pathlib import Path
from typing import Any

from engine.core.digest import digest
from flows.registry.older import upgraded
from flows.serving.flavour import RECORD
from flows.tracking.outage import retry


@retry
def _download(uri: str, folder: Path) -> None:
    import mlflow

    mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))


def _weights_and_record(uri: str, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    _download(uri, folder)
    weights, records = list(folder.rglob("*.safetensors")), list(folder.rglob(RECORD))
    return weights, upgraded(json.loads(records[0].read_text())) if records else {}


def fetched_files(uri: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Weights and record at a models:/ or runs:/ address, put into `folder`, which is empty.

    ValueError where the weights are not one file; the record is empty where there is none.
    """
    weights, record = _weights_and_record(uri, folder)
    if len(weights) != 1:
        found = "no weights" if not weights else f"{len(weights)} weight files, not one"
        raise ValueError(f"{uri} holds {found}")
    return weights[0], record


def fetched_version(labels: dict[str, str], folder: Path) -> tuple[Path, dict[str, Any]]:
    """Weights and record of a version by its tags; ValueError when they are not its own."""
    model_id = labels.get("tagdag.model_id")
    if not model_id:
        raise ValueError("it names no logged model of tagdag")
    weights, record = _weights_and_record(f"models:/{model_id}", folder)
    if len(weights) != 1 or not record:
        raise ValueError("its logged model holds no weights with their record")
    if digest(weights[0]) != labels.get("tagdag.weights"):
        raise ValueError("its weights in the registry are not those that it was registered with")
    return weights[0], record
