"""Which names come together, as a picture in the page: a cell for each pair."""

from corpus.pages.markup import Markup, el, join, short
from corpus.report.findings import Cooccurrence, npmi, seriation

CELL, NAMES = 12, 96  # least side of a cell, room for the names


def heat_map(pairs: Cooccurrence, what: str = "posts") -> Markup:
    """Normalised PMI of K x K names, similar names side by side; a tooltip for each cell.

    what: the counts are of.
    """
    value = npmi(pairs)
    order = seriation(value)
    cell = min(24, max(CELL, 600 // len(order)))
    side = NAMES + cell * len(order)
    names = [pairs.names[i] for i in order]
    isolated = [f"\u2068{short(name, 40)}\u2069" for name in names]  # what <bdi> is in HTML
    parts = []
    for at, name in enumerate(names):
        middle = NAMES + cell * (at + 0.5)
        written = short(name, 17 if name.isascii() else 8), el("title", short(name, 100))
        parts.append(el("text", *written, x=NAMES - 5, y=middle, dy=".35em", text_anchor="end"))
        turned = f"translate({middle} {NAMES - 5}) rotate(-90)"
        parts.append(el("text", *written, dy=".35em", transform=turned))
    for row, i in enumerate(order):
        for column, j in enumerate(order):
            if i != j and pairs.counts[i, j]:
                shown = f"{isolated[row]}, {isolated[column]}: {pairs.counts[i, j]:,} {what}, "
                place = {
                    "x": NAMES + cell * column,
                    "y": NAMES + cell * row,
                    "width": cell - 1,
                    "height": cell - 1,
                }
                style = {
                    "class_": "more" if value[i, j] >= 0 else "less",
                    "fill_opacity": _opacity(value[i, j]),
                }
                parts.append(
                    el("rect", el("title", f"{shown}NPMI {value[i, j]:.2f}"), **place, **style)
                )
    diagonal = join(
        f"M{NAMES + cell * i} {NAMES + cell * i}h{cell - 1}v{cell - 1}h{1 - cell}z"
        for i in range(len(order))
    )
    parts.append(el("path", d=diagonal, class_="self"))
    return el(
        "svg",
        *parts,
        viewBox=f"0 0 {side} {side}",
        width=side,
        role="img",
        aria_label="co-occurrence",
    )


def _opacity(value: float) -> str:
    return f"{min(1.0, 0.06 + abs(value) ** 0.8):.2f}"


def heat_key() -> Markup:
    """The colour scale of the heat map."""
    steps = [
        (-0.6, "less"),
        (-0.3, "less"),
        (0, "more"),
        (0.2, "more"),
        (0.4, "more"),
        (0.7, "more"),
        (1, "more"),
    ]
    cells = [
        el(
            "li",
            el(
                "svg",
                el("rect", width=12, height=12, class_=kind, fill_opacity=_opacity(v)),
                width=12,
                height=12,
            ),
            f"{v:g}",
        )
        for v, kind in steps
    ]
    return el("ul", *cells, class_="legend")
