"""The sections of the report that show images: duplicates, example posts."""

from corpus.pages.markup import Markup, el, join, number, short, table, tag
from corpus.pages.thumbnails import thumbnail
from corpus.report.findings import Findings, Twins
from corpus.report.sections import Parts, explained

SHEET, TYPED = 24, 30  # examples of a kind, hashtags of one post


def duplicates(findings: Findings) -> Parts:
    """Pairs by kind and by where the two images lie, and some of them to look at."""
    if not any(findings.duplicates.values()):
        return [el("p", "No duplicates were found.")]
    kinds = sorted({kind for _, kind in findings.duplicates})
    rows = []
    for sets in sorted({sets for sets, _ in findings.duplicates}):
        counts = [findings.duplicates.get((sets, kind), 0) for kind in kinds]
        rows.append([tag(sets), *map(number, counts), number(sum(counts))])
    words = (
        "Pairs of images taken for the same, by the sets that the two lie in and by how they were "
        "found."
    )
    parts = [
        el("p", words),
        table(
            ["sets", *(explained(k, findings) for k in kinds), "all"],
            rows,
            range(1, len(kinds) + 2),
        ),
    ]
    if findings.twins:
        parts.append(el("h3", "Some of the pairs"))
        parts.append(el("div", *map(_twins, findings.twins[:SHEET]), class_="sheet twins"))
    return parts


def _twins(twins: Twins) -> Markup:
    both = el(
        "div",
        thumbnail(twins.left, twins.left_id),
        thumbnail(twins.right, twins.right_id),
        class_="both",
    )
    words = [
        el("b", twins.kind),
        " · ",
        tag(twins.sets),
        el("br"),
        tag(twins.left_id),
        " = ",
        tag(twins.right_id),
    ]
    return el("figure", both, el("figcaption", *words))


def examples(findings: Findings) -> Parts:
    """Posts as they were typed and as they are trained on."""
    made = []
    for post in findings.examples[:SHEET]:
        typed = el("div", *(join([tag(name), " "]) for name in post.typed[:TYPED]), class_="tags")
        names = el(
            "div", el("b", *(join([tag(name), " "]) for name in post.targets)), class_="tags"
        )
        words = [el("small", "typed"), typed, el("small", "trained on"), names]
        made.append(
            el(
                "figure",
                thumbnail(post.image, post.id),
                el("figcaption", *words),
                title=short(post.id, 80),
            )
        )
    return [el("div", *made, class_="sheet")] if made else []
