"""What studies of many runs share: runs kept as they end, so that a killed study goes on.

Figures over seeds.
"""

import json
import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from corpus.progress import Progress
from corpus.store.write import locked
from engine.core.device import device
from engine.measure.profile import device_name
from engine.measure.statistics import over_seeds
from flows.running.orchestrate import progress

Run = dict[str, Any]  # its settings, and what came of them


def kept(path: Path) -> dict[str, Run]:
    """The results of runs that ended, by key; a line that a kill cut off goes from the file."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    part = path.with_suffix(".part")
    part.write_text("".join(line for line in lines if line.endswith("\n")))
    part.replace(path)
    return {row["key"]: row for row in map(json.loads, path.read_text().splitlines())}


def pursue(
    title: str, work: Path, wanted: dict[str, Run], run: Callable[[Run, Progress], Run]
) -> list[Run]:
    """The results of the wanted runs, settings by key.

    Only those not yet in work/results.jsonl are made by `run`.
    """
    with locked(work), progress(title) as show:
        known = kept(work / "results.jsonl")
        pending = [key for key in wanted if key not in known]
        for number, key in enumerate(pending):
            one, started = wanted[key], time.monotonic()

            def told(
                done: int, total: int, _: str, before: int = 100 * number, one: Run = one
            ) -> None:
                show(
                    before + 100 * done // total,
                    100 * len(pending),
                    f"{one['name']}, seed {one['seed']},",
                )

            known[key] = {"key": key} | run(one, told)
            known[key]["minutes"] = (time.monotonic() - started) / 60
            with (work / "results.jsonl").open("a") as file:
                file.write(json.dumps(one | known[key]) + "\n")
    return [known[key] | one for key, one in wanted.items()]


def cell(values: Sequence[float], sign: str = "") -> str:
    """Mean and half of the 95 % interval over seeds."""
    mean, _, high = over_seeds(values)
    return f"{mean:{sign}.1f}" + ("" if high is None else f" ± {high - mean:.1f}")


def verdict(differences: Sequence[float]) -> str:
    """Whether the 95 % interval of differences that should be positive says so."""
    _, low, high = over_seeds(differences)
    if low is None:
        return "one seed"
    return "shows" if low > 0 else "the opposite shows" if high < 0 else "does not show"


def preamble(title: str, command: str, rows: Sequence[Run] = (), **more: str) -> list[str]:
    """The head of a table in Markdown: by which command, when, where and with what it was made."""
    facts = {
        "command": f"`{command}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": device_name(device()),
        "versions": f"torch {torch.__version__}, Python {platform.python_version()}",
    }
    if rows:
        facts["minutes of all runs"] = f"{sum(row['minutes'] for row in rows):.1f}"
    lines = [f"# {title}", "", "| | |", "| --- | --- |"]
    return lines + [f"| {name} | {value} |" for name, value in (facts | more).items()]
