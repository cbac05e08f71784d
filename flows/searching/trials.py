"""The trials of a finished search, as its trials.jsonl tells them: who finished, who did not and
why.

Only complete trials have an error that counts. The others are left out of every statistic, and
named beside it; where trials were pruned, the distribution is that of the survivors.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

COSTS = {  # what a network may cost: name, size of the unit it is shown in
    "flops": ("multiply-adds (millions)", 1e6),
    "params": ("parameters (millions)", 1e6),
    "acts": ("activations (millions)", 1e6),
    "latency_ms": ("latency (ms)", 1),
}


def is_number(value: Any) -> bool:
    """A finite number, which null, NaN, True and words are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _all_numbers(rows: Sequence[dict[str, Any]], key: str) -> bool:
    return all(is_number(row.get(key)) for row in rows)


@dataclass(frozen=True)
class Trials:
    """Rows of trials.jsonl: networks of the space, and the reference where there is one."""

    rows: Sequence[dict[str, Any]]

    @cached_property
    def reference(self) -> dict[str, Any] | None:
        """The network that the search is compared with, if it was trained to its end."""
        return next(
            (
                row
                for row in self.rows
                if row["trial"] == "reference" and is_number(row.get("error"))
            ),
            None,
        )

    @cached_property
    def drawn(self) -> list[dict[str, Any]]:
        """All trials of the search."""
        return [row for row in self.rows if row["trial"] != "reference"]

    @cached_property
    def complete(self) -> list[dict[str, Any]]:
        """Those that were trained to their end, the best first."""
        ended = (
            row
            for row in self.drawn
            if row["outcome"] == "complete" and is_number(row.get("error"))
        )
        return sorted(ended, key=lambda row: row["error"])

    @cached_property
    def failed(self) -> list[dict[str, Any]]:
        """The others."""
        complete = {id(row) for row in self.complete}
        return [row for row in self.drawn if id(row) not in complete]

    @cached_property
    def costs(self) -> list[str]:
        """The costs that all complete trials know."""
        return [key for key in COSTS if _all_numbers(self.complete, key)]

    @cached_property
    def axes(self) -> dict[str, np.ndarray]:
        """Of each numeric axis of the space that all complete trials have: their values."""
        found = [row.get("values") or {} for row in self.complete]
        names = dict.fromkeys(itertools.chain.from_iterable(found))
        axes = {}
        for name in names:
            if _all_numbers(found, name):
                axes[name] = np.array([values[name] for values in found], float)
        return axes

    def of(self, key: str) -> np.ndarray:
        """One number of each complete trial."""
        return np.array([row[key] for row in self.complete], float)

    def lost(self) -> Counter[str]:
        """How many are not complete, by outcome."""
        return Counter(
            "no error" if row["outcome"] == "complete" else row["outcome"] for row in self.failed
        )

    def count(self) -> str:
        """How many are complete: `30 of 32 networks`."""
        return f"{len(self.complete)} of {len(self.drawn)} networks"

    def reasons(self) -> str:
        """What the others are: `1 pruned, 1 diverged`."""
        return ", ".join(f"{count} {outcome}" for outcome, count in self.lost().most_common())


def read_trials(folder: Path) -> Trials:
    """The trials that a search left in its folder."""
    path = folder / "trials.jsonl"
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: no such folder: name folders of finished searches, such as out/search"
        )
    if not path.is_file():
        raise ValueError(
            f"{folder}: no finished search (it holds no trials.jsonl): let `dvc repro search` end "
            "there"
        )
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
            rows[-1]["trial"], rows[-1]["outcome"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: no trial of a search ({error!r}): run the search again"
            ) from None
    return Trials(rows)
