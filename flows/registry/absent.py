"""Says when the versions that a report names are not in the registry here."""

from pathlib import Path

from flows.registry.names import model_names
from flows.running import settings, sqlite
from flows.tracking.address import printable_uri, sqlite_file
from flows.tracking.mlflow_private import DELETED
from flows.tracking.tracking import connect


def _registered(file: Path | None, name: str) -> bool:
    """Whether the registry has a version of this model."""
    if file is not None:
        # without MLflow, whose import takes seconds: this is the end of every pipeline
        query = "SELECT 1 FROM model_versions WHERE name = ? AND current_stage != ? LIMIT 1"
        return file.is_file() and bool(sqlite.query_rows(file, query, name, DELETED, wait=5))
    from mlflow.exceptions import MlflowException

    try:
        return bool(connect().get_registered_model(name).latest_versions)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def missing_registry() -> str | None:
    """What to tell a person whose report names versions that are not in the registry.

    None if they are. So it is in a clone after `dvc pull`: DVC brings the report, not the registry.
    """
    if not (settings.OUT / "register" / "report.md").exists():
        return None
    try:
        names = model_names()
        lacking = [name for name in names if not _registered(sqlite_file(), name)]
        if not lacking:
            return None
    # of whatever kind: the pipeline has ended well, and this is a note below its report
    except Exception as error:
        return (
            f"whether the registry has the versions of the report is not known: {str(error)[:200]}"
        )
    return (
        f"the report names versions of {lacking[0]!r} that the registry here ({printable_uri()}) "
        "does not have: set MLFLOW_TRACKING_URI to the MLflow of whoever made the report, or "
        "register the models here: dvc repro --single-item --force register"
    )
