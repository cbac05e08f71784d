"""Says when the runs that this folder has logged are not where MLflow is.

.tagdag/store.json keeps which store the last run logged to, known by when its experiment was made.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.running import settings
from flows.running.orchestrate import log
from flows.tracking.address import home, runs_address, store_label

NOTE = settings.STATE / "store.json"


def _noted(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads((folder / NOTE).read_text())
        return found if isinstance(found, dict) else {}
    return {}


def warn_if_deleted(file: Path) -> None:
    """Warn that a SQLite file is about to be made that was there at the last use."""
    if _noted(home()).get("store") == file.name:
        log.warning(
            "%s is gone, and with it all runs, registered versions and the champion: a new one is "
            "begun; to have the old one, stop, put a backup of it here, and run the command again",
            file.name,
        )


def remember_store(store: str, born: int, experiment: str) -> None:
    """Remember the store; warn when the one of this name is another than last time.

    store: how it is called, without password. born: when its experiment was made, in ms.
    """
    before, now = _noted(home()), {"store": store, "born": born, "experiment": experiment}
    if before == now:
        return
    # the same name, and an experiment that was made at another time
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
    return runs_address(known["experiment"]) if known.get("store") == store_label() else None
