"""HTML and SVG whose text is escaped by construction: a plain string is text, only `Markup` is
taken as it is.
"""

import base64
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = Path(__file__).with_name("page.css")
VOID = {"br", "img", "meta"}
CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)  # no character of an HTML document


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """Escapes anything but Markup; control characters and lone surrogates become U+FFFD."""
    return (
        value
        if isinstance(value, Markup)
        else Markup(html.escape(CONTROL.sub("\ufffd", str(value))))
    )


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """One Markup of many parts."""
    return Markup(text(between).join(map(text, parts)))


def el(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """`el("a", "x < y", href="#top", class_="k")`.

    `_` in an attribute's name is `-`, a value None leaves it out.
    """
    given = {
        key.rstrip("_").replace("_", "-"): value
        for key, value in attributes.items()
        if value is not None
    }
    head = "<" + "".join([name, *(f' {key}="{text(value)}"' for key, value in given.items())]) + ">"
    return Markup(head if name in VOID else f"{head}{join(children)}</{name}>")


def tag(name: str, length: int = 40) -> Markup:
    """A hashtag or other words of strangers, isolated from the writing direction around it.

    More of it as tooltip.
    """
    return el("bdi", short(name, length), title=short(name, 400) if len(name) > length else None)


def short(name: str, length: int) -> str:
    """At most `length` characters."""
    return name if len(name) <= length else name[: length - 1] + "…"


def table(header: list[Any], rows: Iterable[list[Any]], numeric: Iterable[int] = ()) -> Markup:
    """A table that scrolls sideways on a phone; the columns `numeric` are set flush right."""
    right = set(numeric)

    def row(cell: str, values: list[Any]) -> Markup:
        return el(
            "tr",
            *(
                el(cell, value, class_="n" if i in right else None)
                for i, value in enumerate(values)
            ),
        )

    body = el("tbody", *(row("td", values) for values in rows))
    return el("div", el("table", el("thead", row("th", header)), body), class_="scroll")


def flow_style(section: Any) -> str:
    """A section of params.yaml on one line; it is text, not Markup."""
    dumped = yaml.safe_dump(section, default_flow_style=True, sort_keys=False, width=1e9)
    return dumped.strip(" .\n")  # a value that is no section ends in `...`


def number(value: Any) -> str:
    """A number as people read it."""
    if value is None:
        return "unknown"
    return (
        f"{value:,}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )


def tiles(summary: Mapping[str, int | float | str | None]) -> Markup:
    """The numbers that count, at the head of a page; Markup is taken as it is."""

    def tile(name: str, value: Any) -> Markup:
        shown = value if isinstance(value, Markup) else number(value)
        long = "long" if not isinstance(value, Markup) and len(shown) > 12 else None
        return el("div", el("dt", name.replace("_", " ")), el("dd", shown), class_=long)

    return el("dl", *(tile(name, value) for name, value in summary.items()), class_="tiles")


def cautions_box(told: Iterable[str]) -> list[Markup]:
    """The warnings at the head of a page; nothing where there are none."""
    items = [el("li", tag(each, 600)) for each in told]
    if not items:
        return []
    return [el("aside", el("h2", "Before you believe it"), el("ul", *items), class_="cautions")]


def image(data: bytes, alt: str, kind: str = "jpeg", **more: str) -> Markup:
    """The picture itself within the page; more: further attributes."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return el("img", src=source, alt=alt, **more)


def document(title: str, *body: Any) -> str:
    """A whole page that needs nothing beside it, and may run no script."""
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("title", title),
        el("style", Markup(STYLE.read_text(encoding="utf-8"))),
    ]
    return "<!doctype html>\n" + el("html", el("head", *head), el("body", *body), lang="en") + "\n"
