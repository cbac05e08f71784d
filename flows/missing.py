"""Says when the runs and the registry that this folder's results name are not where MLflow is.

.tagdag/store.json keeps which store the last run logged to, known by when its experiment was made.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows import settings, sqlite
from flows.address import embedded, home, label, page, shown
from flows.orchestrate import log

DELETED = "Deleted_Internal"  # the stage that MLflow gives to a deleted version
NOTE = settings.STATE / "store.json"


def _noted(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads((folder / NOTE).read_text())
        return found if isinstance(found, dict) else {}
    return {}


def tell_deleted(file: Path) -> None:
    """Warn that a SQLite file is about to be made which was there when this folder was last used."""
    if _noted(home()).get("store") == file.name:
        log.warning(
            "%s is gone, and with it all runs, registered versions and the champion: a new one is "
            "begun; to have the old one, stop, put a backup of it here, and run the command again",
            file.name,
        )


def note(store: str, born: int, experiment: str) -> None:
    """Remember the store; warn when the one of this name is another than last time.

    store: how it is called, without password. born: when its experiment was made, in ms.
    """
    before, now = _noted(home()), {"store": store, "born": born, "experiment": experiment}
    if before == now:
        return
    if before.get("store") == store:
        log.warning(
            "%s is not the one that this folder last logged to: earlier runs and registered "
            "versions are in another one",
            store,
        )
    file = home() / NOTE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(now) + "\n")


def runs_page() -> str | None:
    """The address of the page with this folder's runs; None where it has none yet."""
    known = _noted(home())
    return page(known["experiment"]) if known.get("store") == label() else None


def _registered(file: Path | None, name: str) -> bool:
    """Whether the registry has a version of this model."""
    if file is not None:
        query = "SELECT 1 FROM model_versions WHERE name = ? AND current_stage != ? LIMIT 1"
        return file.is_file() and bool(sqlite.rows(file, query, name, DELETED, wait=5))
    from mlflow.exceptions import MlflowException

    from flows.tracking import connect

    try:
        return bool(connect().get_registered_model(name).latest_versions)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def missing_registry() -> str | None:
    """What to tell a person whose report names versions that are not in the registry; None if they are.

    So it is in a clone after `dvc pull`: DVC brings the report, not the registry. A registry that
    does not answer is told by the stages.
    """
    if not (settings.OUT / "register" / "report.md").exists():
        return None
    name = str(settings.load()["register"].get("name", "tagdag"))
    try:
        if _registered(embedded(), name):
            return None
    except Exception as error:
        return f"whether the registry has the versions of the report is not known: {str(error)[:200]}"
    return (
        f"the report names versions of {name!r} that the registry here ({shown()}) does not "
        "have: set MLFLOW_TRACKING_URI to the MLflow of whoever made the report, or register the "
        "models here: dvc repro --single-item --force register"
    )
