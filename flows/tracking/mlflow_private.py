"""What is used of MLflow beyond its documented API: all of it, and why.

tests/flows/tracking/test_mlflow_private.py fails by name where another release has changed it.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

# tables of its SQLite file by which one is known that nothing was ever logged to
EXPERIMENTS = "experiments"
FILLED = ("experiments", "runs", "registered_models")
# columns with absolute paths of artifacts, which MLflow has no command to move
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),  # mlflow.artifactLocation
)
DELETED = "Deleted_Internal"  # the stage of a deleted version, which stays in model_versions

KIND = "mlflow.experimentKind"  # its UI asks what an experiment is until this tag is there
VERSIONS = "mlflow.modelVersions"  # a logged model's page says "Registered" by this tag

# messages, where an error has no code of its own
PARAM_CHANGED = "Changing param values"
OUTDATED = "out-of-date database schema"


def make_tables(file: Path, artifacts: Path) -> None:
    """Make MLflow's tables in a SQLite file and close it.

    Only its store does so: `mlflow db upgrade` wants a file that has them.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{file}", str(artifacts))
    store.engine.dispose()


def quiet_loggers() -> None:
    """Silence what MLflow logs of its own affairs.

    It logs every step of making tables, and each of its failing tries, which an Outage logs once.
    """
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _store() -> Any:
    from mlflow.tracking._tracking_service.utils import _get_store

    return _get_store()


def can_purge() -> bool:
    """Whether runs can be deleted for good: by who has the data base, not through a server."""
    return hasattr(_store(), "_hard_delete_run")


def deleted_models() -> list[Any]:
    """Logged models that are marked as deleted, with their files; none through a server."""
    store = _store()
    if not can_purge():
        return []
    found = store._get_deleted_logged_models()
    return [store.get_logged_model(model_id, allow_deleted=True) for model_id in found]


def _without_files(address: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(address).delete_artifacts()


def _found(get: Callable[..., Any], key: str, **more: Any) -> Any | None:
    """What a store has under an id; None where it is gone already."""
    from mlflow.exceptions import MlflowException

    try:
        return get(key, **more)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def purge_run(run_id: str) -> None:
    """Delete a run that is marked as deleted, and its files, as `mlflow gc` does.

    Not `mlflow gc --run-ids`: it takes all experiments that anybody has marked along with them.
    """
    store = _store()
    run = _found(store.get_run, run_id)
    if run is not None:
        _without_files(run.info.artifact_uri)
        store._hard_delete_run(run_id)


def purge_model(model_id: str) -> None:
    """Delete a logged model that is marked as deleted, and its files, as `mlflow gc` does."""
    store = _store()
    model = _found(store.get_logged_model, model_id, allow_deleted=True)
    if model is not None:
        _without_files(model.artifact_location)
        store._hard_delete_logged_model(model_id)
