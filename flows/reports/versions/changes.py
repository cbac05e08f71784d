"""Sections of what differs between two versions: params, data, code."""

from collections.abc import Mapping
from typing import Any

from corpus.pages.markup import Markup, el, short, table, tag
from flows.reports.versions.findings import Findings
from flows.reports.versions.table import UNKNOWN
from flows.tracking.refusals import flat_section

MOST, TAGS = 80, 20  # rows of a table; hashtags of each kind


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, value of one, value of the other) of all that is not the same; None: it has none."""
    names = dict.fromkeys([*one, *other])
    rows = [(name, one.get(name), other.get(name)) for name in names]
    return [row for row in rows if str(row[1]) != str(row[2])]


def _value(value: Any) -> Markup:
    if value is None:
        return el("span", UNKNOWN)
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return tag(shown, 120)


def _table(findings: Findings, rows: list[tuple[str, Any, Any]]) -> list[Markup]:
    head = ["", *(version.title for version in findings.pair)]
    made = [[tag(name, 80), _value(one), _value(other)] for name, one, other in rows[:MOST]]
    parts = [table(head, made)]
    if len(rows) > MOST:
        parts.append(el("p", f"{len(rows) - MOST:,} more are not shown.", class_="soft"))
    return parts


def _sections(findings: Findings, name: str) -> list[dict[str, Any]]:
    return [flat_section(version.kept.section(name)) for version in findings.pair]


def params(findings: Findings) -> list[Markup]:
    """The settings of the two models, and of params.yaml when they were registered."""
    of_models = differing(*(version.params for version in findings.pair))
    of_file = differing(*_sections(findings, "params"))
    parts = []
    for title, rows in (("Of the models", of_models), ("Of params.yaml", of_file)):
        if rows:
            parts += [el("h3", title), *_table(findings, rows)]
    if parts:
        return parts
    if not any(version.params for version in findings.pair):
        return [el("p", "The registry knows no params of these versions.")]
    return [el("p", "They have the same params.")]


def _hashtags(findings: Findings) -> list[Markup]:
    """Hashtags that are new or gone, and those whose number of posts changed most."""
    one, other = (version.kept.vocabulary for version in findings.pair)
    if not one or not other:
        return []
    parts = []
    for title, these, those in (("New hashtags", other, one), ("Hashtags that went", one, other)):
        named = sorted(these.keys() - those.keys(), key=lambda name: (-these[name], name))
        if named:
            tags = [tag(f"{name} {these[name]:,}", 60) for name in named[:TAGS]]
            more = f" and {len(named) - TAGS:,} more" if len(named) > TAGS else ""
            whole = f"{title} ({len(named):,}, with their posts): "
            parts.append(el("p", whole, el("span", *tags, class_="tags"), more))
    changed = [(name, one[name], other[name]) for name in one.keys() & other.keys()]
    changed = [row for row in changed if row[1] != row[2]]
    changed.sort(key=lambda row: (-abs(row[2] - row[1]), row[0]))
    if changed:
        told = f"{len(changed):,} hashtags have other numbers of posts, those of the largest change"
        shown = _table(findings, changed[:TAGS])
        parts.append(el("details", el("summary", told), *shown))
    return parts


def data(findings: Findings) -> list[Markup]:
    """Posts, classes, labels and hashtags."""
    versions = [version.tag("data") for version in findings.pair]
    tests = [" ".join(version.tested_on).strip() for version in findings.pair]
    rows = [("data version", *versions), ("test split", *tests)]
    rows = [(name, one or None, other or None) for name, one, other in rows if one != other]
    rows += differing(*_sections(findings, "corpus"))
    labels = differing(*_sections(findings, "labels"))
    parts = _table(findings, rows) if rows else []
    if labels:
        parts += [el("h3", "Training labels by class"), *_table(findings, labels)]
    parts += _hashtags(findings)
    if parts:
        return parts
    known = all(version.kept.about for version in findings.pair)
    same = "They were made of the same posts and labels."
    unknown = "The registry does not say of which posts and labels they were made."
    return [el("p", same if known or versions[0] else unknown)]


def _what(before: Any, after: Any) -> str:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def code(findings: Findings) -> list[Markup]:
    """Commits, the files whose content differs, and what git says where it knows both commits."""
    keys = ("commit", "changes", "params")
    one, other = findings.pair
    rows = [(key, one.tag(key) or None, other.tag(key) or None) for key in keys]
    rows = [row for row in rows if row[1] != row[2]]
    parts = _table(findings, rows) if rows else [el("p", "They were made at the same commit.")]
    before, after = _sections(findings, "code")
    if before and after:
        parts += _files(differing(before, after))
    if findings.git:
        printed = el("pre", "\n".join(short(line, 200) for line in findings.git))
        parts.append(el("details", el("summary", "git diff --stat"), el("div", printed)))
    return parts


def _files(rows: list[tuple[str, Any, Any]]) -> list[Markup]:
    if not rows:
        return [el("p", "No file that a stage's result depends on differs.")]
    told = f"{len(rows):,} of the files that results depend on differ."
    named = [[tag(name, 100), _what(before, after)] for name, before, after in sorted(rows)]
    return [el("p", told), table(["file", ""], named[:MOST])]
