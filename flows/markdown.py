"""Markdown and its page out of anybody's text: what people typed stays text in both.

Targets, candidates and devices may hold anything. A backslash makes a character plain in Markdown;
the page is rendered without HTML and may run no script (the policy in corpus.report.markup).
"""

import re
from pathlib import Path
from typing import Any

from corpus.names import printable
from corpus.report.markup import Markup, document, el, image

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


def _rendered(text: str) -> Markup:
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    # text has no tags of its own: these are the renderer's; a wide table scrolls on a phone
    wide = body.replace("<table>", '<div class="scroll"><table>')
    return Markup(wide.replace("</table>", "</table></div>"))


def page(title: str, text: str, picture: Path) -> str:
    """Markdown as one HTML page that needs nothing beside it; its one picture is put inside.

    title: plain text. text: Markdown, with the picture on a line of its own.
    """
    before, _, rest = text.partition("\n![")
    alt, _, after = rest.partition(f"]({picture.name})\n")
    figure = el("figure", image(picture.read_bytes(), alt, "png"))
    return document(title, _rendered(before), figure, _rendered(after))
