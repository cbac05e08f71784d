"""What docs/settings.md says of a parameter: its type and range, its default, its own sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from flows.tools.signatures import kind_in_words, parameters, sentences
from models.blocks.ranges import Count, Listed, Part, Rising


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "whole number"),
        (bool, "`true` or `false`"),
        (Count | None, "whole number ≥ 1, or `null`"),
        (Annotated[float, Field(ge=0, lt=1)], "number ≥ 0 and < 1"),
        (Annotated[int, Field(le=2**16)], "whole number ≤ 65,536"),
        (Literal["a", "b"], "`a` or `b`"),
        (Count | Literal["all"], "whole number ≥ 1, or `all`"),
        (Rising[Part], "pair of: number > 0 and ≤ 1 (the lower one first)"),
        (Listed[str], "list of one or more: text (none of them twice)"),
        (Sequence[float], "list of: number"),
        (tuple[int, ...], "list of: whole number"),
        (tuple[int, float], "[whole number, number]"),
        (dict[str, Any], "section"),
    ],
)
def test_a_type_is_told_with_its_range(annotation, words):
    assert kind_in_words(annotation) == words


TEXT = """What it does. Of rates: nothing.

rate: learning rate; null: that of `per`. It is
    scaled.
low, high: ends of the range.
other: of no interest.
"""


def test_a_parameter_has_its_own_entry_to_the_next_one():
    assert sentences(TEXT, ["rate", "low", "high"]) == {
        "rate": "learning rate; null: that of `per`. It is scaled.",
        "low": "ends of the range.",
        "high": "ends of the range.",
    }


class Views:
    """size: of a view, in pixels."""


class Base:
    """share: of all. size: see Views."""


class Derived(Base):
    """count: how many."""

    def __init__(self, given: int, count: Count, size: int = 3, share: float = 0.5) -> None: ...


def test_a_class_inherits_what_the_one_that_it_stands_on_says_and_refers_to():
    rows = parameters(Derived, given=("given",))
    assert [(row.name, row.default, row.about) for row in rows] == [
        ("count", "", "how many."),
        ("size", "3", "of a view, in pixels."),
        ("share", "0.5", "of all."),
    ]


@dataclass
class Made:
    """name: {}."""

    name: dict[str, Any] = field(default_factory=lambda: {"name": "sgd"})


def test_what_a_dataclass_makes_anew_is_a_default_too():
    assert [row.default for row in parameters(Made)] == ["{name: sgd}"]
