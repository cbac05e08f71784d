"""A time measured again until it can be believed: the median of quiet repeats that agree."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from engine.measure.load import watched

REPEATS = 3  # quiet ones, whose median counts
STEADY = 0.1  # share of the median by which they may differ; else more are made, while time is left
UNSTEADY = 0.3  # from this share on no time is trusted, whatever the machine says of itself


class Repeat(NamedTuple):
    """Seconds of each run, and what the machine did meanwhile."""

    taken: Tensor
    meanwhile: dict[str, Any]

    @property
    def median(self) -> float:
        """Seconds."""
        return self.taken.median().item()


def _spread(some: Sequence[Repeat]) -> float:
    """By how much their medians differ, as a share of the median of them."""
    times = sorted(each.median for each in some)
    return (times[-1] - times[0]) / times[(len(times) - 1) // 2]


def _enough(calm: Sequence[Repeat]) -> bool:
    """Whether the last few say the same: the first ones may have met cold caches."""
    return len(calm) >= REPEATS and _spread(calm[-REPEATS:]) <= STEADY


def measure_quietly(
    measured: Callable[[], Tensor], patience: float
) -> tuple[Tensor, dict[str, Any]]:
    """The median of the quiet repeats, made until they agree, for so many seconds at most.

    Without a quiet one the fastest, which `busy` marks. Without patience a single one.
    """
    tried: list[Repeat] = []
    pause, until = 0.1, time.monotonic() + patience
    while True:
        with watched() as meanwhile:
            taken = measured()
        tried.append(Repeat(taken, meanwhile))
        calm = [each for each in tried if not each.meanwhile["busy"]]
        if _enough(calm) or time.monotonic() + pause * bool(meanwhile["busy"]) >= until:
            break
        if meanwhile["busy"]:
            time.sleep(pause)
            pause *= 2
    return _told(calm, tried)


def _told(calm: list[Repeat], tried: list[Repeat]) -> tuple[Tensor, dict[str, Any]]:
    """The repeat that counts; how many it is the median of, and by how much they differ."""
    ordered = sorted(calm[-REPEATS:], key=lambda each: each.median)
    # of an even number the faster of the middle two: what is told is a repeat, not a mean of two
    found = ordered[(len(ordered) - 1) // 2] if calm else min(tried, key=lambda each: each.median)
    spread = _spread(ordered or tried)
    more = {"latency_spread": spread, "repeats": len(ordered or tried)}
    if calm and spread > UNSTEADY:
        why = "although nothing else was seen to run"
        more["busy"] = f"repeats differ by {100 * spread:.0f} % {why}"
    return found.taken, found.meanwhile | more
