"""Markdown out of anybody's text: what people typed stays text.

Targets, candidates and devices may hold anything. A backslash makes a character plain in Markdown.
"""

import re
from typing import Any

from corpus.names import printable

# an underscore within a word, as in my_set, is plain already
SPECIAL = re.compile(r"[\\`*\[\]<>|~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
HEADING = re.compile(r"^(?=(#{1,6}|[-+])(\s|$)|[-=]+$)")  # or a list or a rule, at the beginning
NUMBERED = re.compile(r"^(\d+)(?=[.)](\s|$))")


def seen(value: Any) -> str:
    """Text on one line; what nobody sees, but a terminal obeys, is escaped."""
    return printable(" ".join(str(value).split()))


def told(value: Any) -> str:
    """Text as one line of Markdown that shows just this text."""
    escaped = SPECIAL.sub(r"\\\g<0>", seen(value))
    return NUMBERED.sub(r"\1\\", HEADING.sub(r"\\", escaped))


def code(value: Any) -> str:
    """A code span; a backtick, which would end it, gives way to an apostrophe."""
    return "`" + seen(value).replace("`", "'") + "`"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table; every cell is text."""
    lines = [" | ".join(map(told, cells)) for cells in (head, *rows)]
    lines.insert(1, " | ".join(["---"] * len(head)))
    return [f"| {line} |" for line in lines]
