"""What is used of MLflow beyond its documented API: all of it, and why.

tests/flows/tracking/test_mlflow_private.py fails by name where another release has changed it.
"""

import logging
from pathlib import Path

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
