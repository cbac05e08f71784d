"""The skeleton that all reports share: a title, links to the sections, the numbers that count, what
to know first, the sections.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from corpus.pages.markup import Markup, cautions_box, document, el, tiles


class Section(NamedTuple):
    """A section of a page; one without parts is left out. anchor: its id, by default its place."""

    title: Any
    parts: Sequence[Markup]
    anchor: str = ""


def sectioned(
    title: str,
    heading: str,
    summary: Mapping[str, Any],
    sections: Iterable[Section],
    cautions: Iterable[str] = (),
    intro: Sequence[Markup] = (),
) -> str:
    """A whole HTML document.

    title: of the window. heading: of the page. summary: numbers by name. cautions: warnings, as
    plain text. intro: what stands between heading and links.
    """
    links, made = [], []
    for section in sections:
        if not section.parts:
            continue
        anchor = section.anchor or f"s{len(made)}"
        links.append(el("a", section.title, href=f"#{anchor}"))
        made.append(el("section", el("h2", section.title), *section.parts, id=anchor))
    top = [el("h1", heading), *intro, el("nav", *links), tiles(summary), *cautions_box(cautions)]
    return document(title, *top, *made)
