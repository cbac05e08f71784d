"""What MLflow refuses: names are made such that it takes them, and the rest is kept in a file.

A refusal is no outage: the same value would be refused for ever.
"""

import functools
import json
import re
import time
from pathlib import Path
from typing import Any

from engine.core.digest import digest
from flows.running.orchestrate import log
from flows.tracking.spool import Value

FILE = "refused.jsonl"
LONGEST = 250  # characters that MLflow takes in the name of a metric, param or tag
OTHER = re.compile(r"[^/\w.\- :]")  # what it takes in none, by mlflow/utils/validation.py


@functools.lru_cache(4096)  # it is asked for every metric of every step
def allowed_name(name: str) -> str:
    """The name of a metric, param or tag as MLflow takes it.

    A name that has to change ends in a piece of its own digest: `a+b` and `a(b` stay two names.
    """
    parts = [part for part in OTHER.sub("_", name).split("/") if part.strip(".")]
    clean = "/".join(parts)
    if clean == name and len(name) <= LONGEST:
        return name
    return f"{clean[: LONGEST - 5]}.{digest(name)[:4]}"


def quotable_value(value: str) -> str:
    """The value of a tag that runs are looked for by."""
    # MLflow's filters know no escape for these
    return value.replace("'", "\u2019").replace("\\", "/")


def flat_section(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level of dotted names, as MLflow takes them."""
    items: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict):
            items |= flat_section(value, f"{prefix}{name}.")
        else:
            items[f"{prefix}{name}"] = value
    return items


def keep_refused(folder: Path, run: str, values: list[Value], error: Exception) -> None:
    """Keep values of one key that MLflow has refused, and say which and why."""
    reason = " ".join(str(error).split())[:200]
    file = folder / FILE
    told = "MLflow refuses metric %r of run %s (%s): %d values are kept in %s, and not sent again"
    log.warning(told, values[0][0], run, reason, len(values), file)
    row = {"run": run, "reason": reason, "at": int(time.time()), "values": values}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("a") as out:
            out.write(json.dumps(row) + "\n")
    except OSError as problem:
        log.warning("what MLflow refused of run %s could not be kept: %s", run, problem)
