"""Ranges of metrics' parameters, as types: sections and command lines are held to them."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field


def _enough(resamples: int) -> int:
    """0, or 100 or more."""
    if 0 < resamples < 100:
        raise ValueError("give 100 or more, or 0 for no interval")
    return resamples


Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Counts = Annotated[Sequence[Count], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Resamples = Annotated[int, Field(ge=0), AfterValidator(_enough)]
