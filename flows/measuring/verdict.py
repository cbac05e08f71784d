"""Whether the network that a search calls its winner beats the reference once both are trained."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.measuring.headline import of_record
from flows.measuring.summary import head_name, pretraining_name

REFERENCE, WINNER = "baseline", "winner"  # as params.yaml names them
FOUND = "out/search/winner.yaml"  # the section that a search writes


def roles(params: Mapping[str, Any]) -> tuple[str, str]:
    """(candidate that is the reference of the search, candidate that is its winner), by section."""
    sections = {name: each.get("section") for name, each in params["candidates"].items()}
    wanted = params["search"].get("reference"), FOUND
    usual = REFERENCE, WINNER
    found = []
    for section, name in zip(wanted, usual, strict=True):
        found.append(next((each for each in sections if sections[each] == section), name))
    return found[0], found[1]


def reference_ahead(records: Sequence[dict[str, Any]], winner: str = WINNER) -> str | None:
    """A sentence where the reference beats what the search calls its winner; the best is last.

    Of the best model of the winner, and the same of the reference.
    """
    known = [each for each in records if "over_reference" in each and each["candidate"] == winner]
    if not known or known[-1]["over_reference"] >= 0:
        return None
    best, headline = known[-1], of_record(known[-1])
    low, high = best["over_reference_low"], best["over_reference_high"]
    if low is None:
        beats, ends = "is ahead of, with no interval,", "no interval"
    else:
        ends = f"95 % interval {headline.interval(-high, -low, '+')}"
        beats = "beats" if high < 0 else "is ahead of, within the interval,"
    points = f"{headline.difference(-best['over_reference'])} ({ends})"
    arm = ", ".join((str(best["task"]), pretraining_name(best), head_name(best)))
    return f"the reference {beats} the winner of the search: {points} on {arm}"
