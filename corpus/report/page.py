"""What came out of the posts, for people: one HTML page that needs nothing beside it, neither network nor script.

Hashtags, ids and reasons are strangers' text: corpus.report.markup escapes all of it, and the page forbids scripts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.report import pictures, sections
from corpus.report.findings import Findings
from corpus.report.markup import Markup, el

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
SECTIONS = {  # in the order of the page; one without content is left out
    "From posts to shards": sections.funnels,
    "Vocabulary": sections.vocabulary,
    "Posts": sections.posts,
    "Hashtags that go together": sections.cooccurrence,
    "Duplicates": pictures.duplicates,
    "Example posts": pictures.examples,
    "Settings and rules": sections.rules,
}


def write_report(path: Path, findings: Findings) -> None:
    """Writes the page, the same bytes for the same findings."""
    path.write_text(page(findings), encoding="utf-8", newline="\n")


def page(findings: Findings) -> str:
    """The whole HTML document."""
    made = {title: content for title, section in SECTIONS.items() if (content := section(findings))}
    links = [el("a", title, href=f"#{section.__name__}") for title, section in SECTIONS.items() if title in made]
    parts = [el("section", el("h2", title), *made[title], id=SECTIONS[title].__name__) for title in made]
    style = Markup(Path(__file__).with_suffix(".css").read_text(encoding="utf-8"))
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("title", "Corpus report"),
        el("style", style),
    ]
    top = [el("h1", "Corpus"), el("nav", *links), _tiles(findings.summary)]
    return "<!doctype html>\n" + el("html", el("head", *head), el("body", *top, *parts), lang="en") + "\n"


def _tiles(summary: Mapping[str, int | float | str | None]) -> Markup:
    """The summary numbers."""

    def tile(name: str, value: Any) -> Markup:
        long = "long" if isinstance(value, str) and len(value) > 12 else None
        return el("div", el("dt", name.replace("_", " ")), el("dd", sections.number(value)), class_=long)

    return el("dl", *(tile(name, value) for name, value in summary.items()), class_="tiles")
