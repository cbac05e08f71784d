"""Ranges of the numbers that params.yaml may hold, as types of the parameters that take them.

engine/core/build.py holds a section to its function's signature, and so to these: what is out of
range is refused with its place before anything runs. No float may be infinite or NaN, and no word,
true or false stands for a number.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = [
    "Count",
    "Depth",
    "Doublings",
    "Fraction",
    "Frozen",
    "Growth",
    "Kernel",
    "Labels",
    "Least",
    "Listed",
    "Part",
    "Pixels",
    "Plug",
    "Positive",
    "Rising",
    "Seed",
    "Share",
]
__all__ += ["Blocks", "Slope", "StageCount", "Stride", "Times", "Unique", "Whole", "Width"]

T = TypeVar("T")


def _rising(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    """The lower one first."""
    if pair[0] > pair[1]:
        raise ValueError("give two numbers, the lower one first")
    return pair


def _odd(size: int) -> int:
    """A kernel with a middle: its output is as long as its input."""
    if size % 2 == 0:
        raise ValueError("give an odd number")
    return size


def _labels(value: Any) -> Any:
    """How many labels: 1.0 may be meant as one, or as all."""
    if isinstance(value, float) and value >= 1:
        raise ValueError("give a whole number, or a share below 1; all labels are `all`")
    return value


def _different(values: list[Any]) -> list[Any]:
    """None of them twice."""
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise ValueError(f"{twice[0]!r} is listed twice")
    return values


Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Depth = Annotated[int, Field(ge=1, le=1000)]  # blocks: more take minutes to build
Width = Annotated[int, Field(ge=1, le=2**16)]  # channels; Mahajan et al. 2018 have 12,288 at most
Stride = Annotated[int, Field(ge=1, le=16)]  # pixels
Kernel = Annotated[int, Field(ge=1, le=31), AfterValidator(_odd)]  # places that a kernel sees
Pixels = Annotated[int, Field(ge=1, le=4096)]  # side of an image; larger ones fit no memory
Seed = Annotated[int, Field(ge=0, lt=2**31)]  # kept as int32 beside predictions
Positive = Annotated[float, Field(gt=0)]
Growth = Annotated[float, Field(gt=1, le=64)]  # a factor from stage to stage
Doublings = Annotated[int, Field(ge=0, le=8)]  # of the sides of a map: 256 times at the most
Times = Annotated[float, Field(ge=1, le=64)]  # as many, no fewer
Slope = Annotated[float, Field(gt=0, le=2**16)]  # channels per block
StageCount = Annotated[int, Field(ge=1, le=64)]  # each halves the map
Least = Annotated[float, Field(ge=0)]  # from 0 on
# what of a backbone stays as it is: its stem, so many stages, or all but the scales of norms
Frozen = Literal["stem", "but_norms"] | Depth | None
Share = Annotated[float, Field(ge=0, le=1)]  # a probability, both ends included
Part = Annotated[float, Field(gt=0, le=1)]  # of a whole, of which nothing would make no sense
Fraction = Annotated[float, Field(gt=0, lt=1)]  # of a whole, neither none of it nor all
# of a labelled set: so many of each class, a share of its training samples, every one
Labels = Annotated[Count | Fraction | Literal["all"], BeforeValidator(_labels)]
Rising = Annotated[tuple[T, T], AfterValidator(_rising)]  # (lowest, highest)
Unique = Annotated[list[T], AfterValidator(_different)]  # none of them twice
Listed = Annotated[list[T], Field(min_length=1), AfterValidator(_different)]  # one or more
# blocks of a stage, counted from 0; and of a network: of each of its stages, or of all alike
_Some = Literal["all", "last"] | list[Whole]
Blocks = Literal["all", "last"] | list[_Some]
# Plug[Callable, "slots"]: a nested section that names a plug-in of models/slots. The parameter gets
# what makes one, a functools.partial with the section's other keys
Plug = Annotated
