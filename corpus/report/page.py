"""What came out of the posts, for people: one HTML page that needs nothing beside it, neither
network nor script.

Hashtags, ids and reasons are strangers' text: corpus.pages.markup escapes all of it, and the page
forbids scripts.
"""

from pathlib import Path

from corpus.pages.page import Section, sectioned
from corpus.report import filmsets, objectsets, pictures, sections, tagsets
from corpus.report.findings import Findings

SECTIONS = {  # in the order of the page; one without content is left out
    "From posts to shards": sections.funnels,
    "Vocabulary": sections.vocabulary,
    "Posts": sections.posts,
    "Hashtags that go together": sections.cooccurrence,
    "Labelled sets of several classes": tagsets.tag_sets,
    "Labelled sets of objects": objectsets.object_sets,
    "Videos": filmsets.film_sets,
    "Duplicates": pictures.duplicates,
    "Example posts": pictures.examples,
    "Settings and rules": sections.rules,
}


def write_report(path: Path, findings: Findings) -> None:
    """Writes the page, the same bytes for the same findings."""
    path.write_text(page(findings), encoding="utf-8", newline="\n")


def page(findings: Findings) -> str:
    """The whole HTML document."""
    made = [Section(title, make(findings), make.__name__) for title, make in SECTIONS.items()]
    return sectioned("Corpus report", "Corpus", findings.summary, made)
