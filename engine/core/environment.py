"""The environment variables of tagdag: what each is for, what it may be, what it is when not set.

Every one is read by `value`, so that a wrong one is told in one way, and `wrong` finds all of them
before anything runs. `python -m flows.environment` prints the table.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MANY = 256  # processes or threads: more than any one machine that this was meant for
DAY = 86_400  # seconds


@dataclass(frozen=True)
class Kind:
    """What a text may be. `wants`: in words, after "give"; `read`: ValueError for anything else."""

    wants: str
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Variable:
    """One variable. `unset`: what its absence means, in words; `secret`: never print its value."""

    kind: Kind
    about: str
    default: Any = None
    unset: str = ""
    secret: bool = False


def _whole(low: int, high: int) -> Kind:
    """A whole number of a range, both ends in it."""

    def read(text: str) -> int:
        # int() alone would read 1_000, and other scripts' digits, too
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return Kind(f"a whole number from {low} to {high}", read)


def _number(low: float, high: float, unit: str) -> Kind:
    """A number of a range, both ends in it; not nan."""

    def read(text: str) -> float:
        found = float(text)
        # put so that nan, which float() reads, is refused: it is in no range
        if not low <= found <= high:
            raise ValueError
        return found

    return Kind(f"{unit}, a number from {low:g} to {high:g}", read)


def _matching(pattern: str, wants: str) -> Kind:
    """A text of some form."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return Kind(wants, read)


def _flag() -> Kind:
    """Yes or no."""
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

    def read(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError
        return words[text.lower()]

    return Kind("1 (yes) or 0 (no)", read)


# a pattern instead of a number, for it stands within others, as in processes:4
SIDE = r"([1-9]\d?|1\d\d|2[0-4]\d|25[0-6])"  # from 1 to MANY
VARIABLES = {
    "TAGDAG_WORKERS": Variable(
        _whole(1, MANY),
        "processes that train one network together",
        unset="one, or one for each GPU where it pays",
    ),
    "TAGDAG_ARMS": Variable(
        _matching(
            rf"{SIDE}(:{SIDE})?",
            f"how many processes, from 1 to {MANY}, or also their threads, as in 2:4",
        ),
        "processes that fine-tune and test networks side by side, and the threads of each",
        unset="one for each core or GPU, one thread each",
    ),
    "TAGDAG_SEARCHERS": Variable(
        _whole(1, MANY),
        "networks of a search that are trained side by side on this machine",
        unset="one for each core or GPU, as far as memory allows",
    ),
    "TAGDAG_RUNNER": Variable(
        _matching(
            rf"(processes|dask|ray)(:{SIDE})?",
            "processes, dask or ray, or how many, as in processes:4",
        ),
        "what runs the shards of the corpus, the networks of a search and the arms of the "
        "fine-tuning side by side",
        unset="this project's own processes, one for each core",
    ),
    "TAGDAG_DASK": Variable(
        _matching(r"(tcp|tls)://\S+:\d+", "an address such as tcp://host:8786"),
        "the scheduler of a Dask cluster that runs already, for TAGDAG_RUNNER=dask",
        unset="workers of this machine, for the while",
    ),
    "TAGDAG_SEARCH_STORAGE": Variable(
        _matching(r"[\w+]+://.+", "an address such as postgresql://user@host:port/base"),
        "where the workers of a search on several machines meet",
        unset="a SQLite file in .tagdag/search",
        secret=True,
    ),
    "TAGDAG_STORAGE_PATIENCE": Variable(
        _number(0, DAY, "seconds"),
        "seconds to wait for that storage while it is locked or away",
        120.0,
    ),
    "TAGDAG_MLFLOW_PATIENCE": Variable(
        _number(0, DAY, "seconds"), "seconds to wait for MLflow while it is away or locked", 120.0
    ),
    "TAGDAG_PREFECT_PATIENCE": Variable(
        _number(0, DAY, "seconds"),
        "seconds to wait for a Prefect server that is away; after that the run goes on without it",
        120.0,
    ),
    "TAGDAG_ARTIFACTS": Variable(
        _matching(r"s3://[^\s/@]+(/[^\s@]*)?", "an address such as s3://bucket/mlflow"),
        "where MLflow keeps files",
        unset="mlruns beside mlflow.db, or where a server keeps them",
    ),
    "TAGDAG_PIPELINE_RUN": Variable(
        _matching(r"[\w-]{1,64}", "the id of a run in MLflow"),
        "the MLflow run that stages stand under",
        unset="the one of this data, commit and params",
    ),
    "TAGDAG_CHECKPOINT_SECONDS": Variable(
        _number(0, DAY, "seconds"), "seconds from one kept state of a training to the next", 15.0
    ),
    "TAGDAG_THREADS": Variable(_whole(0, MANY), "threads that decode images", 0, "0: by cores"),
    "TAGDAG_CACHE_MB": Variable(_whole(0, 1 << 20), "MiB of decoded images in memory", 512),
    "TAGDAG_RETRIES": Variable(
        _whole(0, 20), "tries of a Prefect task after an outage, not after another error", 1
    ),
    "TAGDAG_RETRY_SECONDS": Variable(
        _number(0, DAY, "seconds"), "seconds before the first of them, doubled each time", 10.0
    ),
    "TAGDAG_STAGE_HOURS": Variable(
        _number(1e-4, 10_000, "hours"),
        "hours after which a Prefect server ends a stage",
        unset="no limit",
    ),
    "TAGDAG_APPROVAL": Variable(
        _number(0, 720, "hours"),
        "hours to wait for a person's approval before the champion changes",
        0.0,
        unset="none is needed",
    ),
    "TAGDAG_WEBHOOK": Variable(
        _matching(r"https?://\S+", "an http:// or https:// address"),
        "where news of runs are posted as JSON: ends, failures, a new champion",
        unset="nowhere",
        secret=True,
    ),
    "TAGDAG_TRACEBACK": Variable(_flag(), "faults with a stack trace", False),
    "TAGDAG_THREADS_EACH": Variable(
        _whole(0, MANY),
        "set by the pipeline itself: threads of trainings side by side",
        0,
        unset="0: measured",
    ),
    "TAGDAG_BENCHMARK_SECONDS": Variable(
        _number(0.1, 3600, "seconds"),
        "seconds of each measurement of benchmarks.shared_machine",
        8.0,
    ),
    "TAGDAG_NO_WHEELS": Variable(_flag(), "benchmarks/on_gpu.sh takes no wheels/", False),
}


def value(name: str) -> Any:
    """A variable's value, typed; its default (None where it has none) when it is not set or empty.

    ValueError that names the variable, its value and what it may be.
    """
    variable, text = VARIABLES[name], os.environ.get(name, "").strip()
    if not text:
        return variable.default
    try:
        return variable.kind.read(text)
    except ValueError:
        # messages land in logs, and an address may hold a password
        shown = "..." if variable.secret else text[:60]
        raise ValueError(f"{name}={shown}: give {variable.kind.wants}, or unset it") from None


def wrong() -> list[str]:
    """What is wrong with the variables that are set, a message for each."""
    found = []
    for name in VARIABLES:
        try:
            value(name)
        except ValueError as error:
            found.append(str(error))
    return found
