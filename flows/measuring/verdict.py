"""Whether the network that a search calls its winner beats the reference once both are trained."""

from collections.abc import Sequence
from typing import Any

REFERENCE, WINNER = "baseline", "winner"  # as the stage search hands its networks on


def reference_ahead(records: Sequence[dict[str, Any]]) -> str | None:
    """A sentence where the reference beats what the search calls its winner; the best is last.

    Of the best model of the winner, and the same of the reference.
    """
    known = [each for each in records if "over_reference" in each and each["candidate"] == WINNER]
    if not known or known[-1]["over_reference"] >= 0:
        return None
    best = known[-1]
    ends = f"{-best['over_reference_high']:+.1f} to {-best['over_reference_low']:+.1f}"
    beats = "beats" if best["over_reference_high"] < 0 else "is ahead of, within the interval,"
    points = f"{-best['over_reference']:+.1f} points (95 % interval {ends})"
    arm = ", ".join(str(best[key]) for key in ("target", "init", "mode"))
    return f"the reference {beats} the winner of the search: {points} on {arm}"
