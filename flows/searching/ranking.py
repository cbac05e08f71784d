"""Which networks of a search did best, and which one wins."""

from collections import Counter
from statistics import fmean
from typing import Any

Row = dict[str, Any]  # of trials.jsonl


def best_first(rows: list[Row]) -> list[Row]:
    """Those that were trained to the end, the best first."""
    complete = [row for row in rows if row["outcome"] == "complete"]
    return sorted(complete, key=lambda row: row["error"])


def mean_errors(retrained: list[Row]) -> dict[int, float]:
    """Mean error in percent of each network that was trained again to the end, by trial."""
    errors: dict[int, list[float]] = {}
    for row in best_first(retrained):
        errors.setdefault(row["trial"], []).append(row["error"])
    return {trial: fmean(found) for trial, found in errors.items()}


def outcome_counts(rows: list[Row]) -> str:
    """How many networks had each outcome: `5 complete, 1 diverged`."""
    counts = Counter(row["outcome"] for row in rows)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def winner(rows: list[Row], retrained: list[Row]) -> Row:
    """The network of the lowest mean error of those trained again, else that of the lowest error.

    ValueError where none was trained to the end.
    """
    best = best_first(rows)
    if not best:
        reasons = sorted({row["reason"] for row in rows if "reason" in row})[:3]
        why = "; ".join(reasons) or "prune less"
        raise ValueError(
            f"search: no network was trained to the end ({outcome_counts(rows)}); {why}"
        )
    means = mean_errors(retrained)
    if not means:
        return best[0]
    trial = min(means, key=means.__getitem__)
    return next(row for row in rows if row["trial"] == trial)
