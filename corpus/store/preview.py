"""The sheet of `version add --dry-run`: one HTML page of what an import would take, and what not.

Labels, hashtags, ids and reasons are strangers' text: corpus.pages.markup escapes all of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.pages.markup import Markup, document, el, image, join, number, table, tag, tiles
from corpus.store.classes import SPLITS
from corpus.store.trial import Picture, Tried

CLASSES, TYPED = 60, 30  # rows of the table of classes, hashtags of one post


def write_preview(path: Path, tried: Mapping[str, Tried]) -> None:
    """Writes the page of all sources, name -> what was found, in one step."""
    parts = [el("section", el("h2", name), *_source(found)) for name, found in tried.items()]
    page = document("Preview of an import", el("h1", "What an import would do"), *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(page, encoding="utf-8", newline="\n")
    part.replace(path)


def _source(found: Tried) -> list[Markup]:
    result = found.result
    counts: dict[str, Any] = {
        "would be added": result.kept,
        "would be changed": result.changed,
        "there already": result.already,
        "of these differ": result.differing,
        "refused": sum(result.refused.values()),
    }
    parts = [tiles(counts)]
    if found.error:
        parts.append(el("p", el("b", "The import would be refused: "), tag(found.error, 600)))
    if found.rows > found.checked:
        images = f"the images of {found.checked:,} were looked at, a random sample of them"
        parts.append(el("p", f"Of {found.rows:,} new rows {images}."))
    if result.notes:
        parts.append(el("ul", *(el("li", tag(note, 400)) for note in result.notes)))
    return [*parts, *_differences(found), *_refused(found), *_pictures(found), *_classes(found)]


def _pictures(found: Tried) -> list[Markup]:
    if not found.pictures:
        return []
    figures = map(_figure, found.pictures)
    return [el("h3", "Some of the images"), el("div", *figures, class_="sheet")]


def _figure(picture: Picture) -> Markup:
    words = el("div", *(join([tag(word), " "]) for word in picture.words[:TYPED]), class_="tags")
    caption = el("figcaption", words, el("small", tag(picture.split or picture.id)))
    return el("figure", image(picture.jpeg, "an image of the source"), caption)


def _classes(found: Tried) -> list[Markup]:
    counts = found.classes.counts
    if not counts:
        return []
    order = sorted(counts, key=lambda label: (-sum(counts[label].values()), label))[:CLASSES]
    rows = []
    for label in order:
        rows.append([tag(label), *(number(counts[label][split]) for split in SPLITS)])
    largest = f", the largest {CLASSES}" if len(counts) > CLASSES else ""
    return [
        el("h3", f"{len(counts):,} classes{largest}"),
        table(["class", *SPLITS], rows, (1, 2, 3)),
    ]


def _differences(found: Tried) -> list[Markup]:
    rows = [[tag(each["id"]), tag(each["change"], 300)] for each in found.result.differences]
    return [el("h3", "Differs from what is there"), table(["id", "change"], rows)] if rows else []


def _refused(found: Tried) -> list[Markup]:
    if not found.refused:
        return []
    reasons = sorted(found.result.refused.items(), key=lambda item: (-item[1], item[0]))
    lines = [[tag(reason, 120), number(count)] for reason, count in reasons]
    counts = table(["reason", "rows"], lines, (1,))
    names = ["where", "image", "reason"]
    rows = []
    for row in found.refused:
        rows.append([tag(row[name], 200) for name in names])
    shown = table(names, rows)
    return [el("h3", "Refused"), counts, el("h3", "Some of the refused rows"), shown]
