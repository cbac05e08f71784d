"""What a metric says of samples that it cannot count: the same words everywhere."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import ndarray

SHOWN = 5


def some(keys: Iterable[Any]) -> str:
    """The first few of what is listed in a message."""
    listed = list(map(str, keys))
    return ", ".join(listed[:SHOWN]) + ", ..." * (len(listed) > SHOWN)


def refuse(wrong: ndarray, what: str, fix: str) -> None:
    """ValueError that counts and lists the samples which are wrong, bool (samples,)."""
    rows = np.flatnonzero(wrong).tolist()
    if rows:
        raise ValueError(f"{len(rows)} of {len(wrong)} samples {what} (rows {some(rows)}); {fix}")


def refuse_none(samples: int) -> None:
    """ValueError where there is no sample."""
    if not samples:
        raise ValueError(
            "a metric of no samples: the data set is empty, or update was never called"
        )


def refuse_unknown(known: int, samples: int) -> None:
    """ValueError where no sample's target is known."""
    if not known:
        raise ValueError(
            f"the target of none of {samples} samples is known: give samples with labels"
        )
