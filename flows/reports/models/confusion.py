"""Section: which classes are taken for which."""

import numpy as np

from corpus.pages.markup import Markup, el, short, table, tag
from corpus.report.findings import seriation
from flows.reports.models.classes import of_model
from flows.reports.models.findings import Answers, Findings

MOST, PAIRS = 40, 12  # classes in the picture, pairs in the table
LEAST, WIDEST = 12, 30  # pixels: sides of a cell
LETTER, NAMES = 7, 110  # pixels: width of a letter, most room for the names
NOTE = (
    "A row per true class, a column per answer, similar classes side by side. Blue: right, orange: "
    "taken for another class; the stronger, the larger the share of the class's images."
)


def pairs(answers: Answers) -> list[tuple[int, int, int, float]]:
    """(class, taken for, answers, share of the class's answers) of the most confused ones."""
    counts = answers.confusion
    totals = counts.sum(1)
    found = []
    for true, guess in np.argwhere(counts).tolist():
        if true != guess:
            number = int(counts[true, guess])
            found.append((true, guess, number, number / totals[true]))
    return sorted(found, key=lambda pair: (-pair[2], -pair[3], pair[:2]))[:PAIRS]


def chosen(answers: Answers) -> np.ndarray:
    """The classes to draw, in their order: at most MOST, those of the most mistakes."""
    counts = answers.confusion
    wrong = counts - np.diag(np.diag(counts))
    mistakes = wrong.sum(0) + wrong.sum(1)
    kept = np.sort(np.argsort(-mistakes, kind="stable")[:MOST])
    share = counts[np.ix_(kept, kept)] / np.maximum(counts[kept].sum(1, keepdims=True), 1)
    return kept[seriation((share + share.T) / 2)]


def heat_map(answers: Answers, order: np.ndarray | None = None) -> Markup:
    """The shares as cells, with a tooltip each; order: the classes to draw, else `chosen` ones."""
    order = chosen(answers) if order is None else order
    counts, totals = answers.confusion, answers.confusion.sum(1)
    cell = min(WIDEST, max(LEAST, 600 // len(order)))
    room = min(NAMES, 12 + LETTER * max(len(name) for name in answers.classes))
    side, parts = room + cell * len(order), []
    for at, index in enumerate(order.tolist()):
        name, middle = answers.classes[index], room + cell * (at + 0.5)
        written = short(name, 17 if name.isascii() else 9), el("title", short(name, 100))
        parts.append(el("text", *written, x=room - 5, y=middle, dy=".35em", text_anchor="end"))
        turned = f"translate({middle} {room - 5}) rotate(-90)"
        parts.append(el("text", *written, dy=".35em", transform=turned))
    filled = np.argwhere(counts[np.ix_(order, order)])
    for row, column in filled.tolist():
        true, guess = int(order[row]), int(order[column])
        place = {"x": room + cell * column, "y": room + cell * row}
        share = counts[true, guess] / totals[true]
        sides = {"width": cell - 1, "height": cell - 1}
        parts.append(_cell(answers, (true, guess), share, place | sides))
    box = f"0 0 {side} {side}"
    return el("svg", *parts, viewBox=box, width=side, role="img", aria_label="confusion matrix")


def _cell(answers: Answers, pair: tuple[int, int], share: float, box: dict[str, int]) -> Markup:
    names = [f"\u2068{short(answers.classes[i], 40)}\u2069" for i in pair]  # as <bdi>
    what = f"{names[0]}, answer {names[1]}: {share:.0%}"
    style = {"class_": "more" if pair[0] == pair[1] else "less", "fill_opacity": _opacity(share)}
    return el("rect", el("title", what), **box, **style)


def _opacity(share: float) -> str:
    return f"{0.06 + 0.94 * share**0.7:.2f}"


def section(findings: Findings) -> list[Markup]:
    """The picture, and the pairs that are confused most."""
    answers = findings.answers.get(findings.tasks[0])
    if answers is None or len(answers.classes) < 2:
        return []
    rows = [
        [tag(answers.classes[true]), tag(answers.classes[guess]), f"{number:,}", f"{share:.0%}"]
        for true, guess, number, share in pairs(answers)
    ]
    left = len(answers.classes) - MOST
    rest = f" The {left:,} classes of the fewest mistakes are left out." if left > 0 else ""
    map_ = el("div", heat_map(answers), class_="scroll heat")
    parts = [el("figure", map_, el("figcaption", NOTE + rest))]
    if rows:
        head = ["class", "taken for", "answers", "of the class"]
        parts.append(el("div", el("h3", "Most confused"), table(head, rows, (2, 3))))
    return [el("p", tag(of_model(findings), 300)), el("div", *parts, class_="beside")]
