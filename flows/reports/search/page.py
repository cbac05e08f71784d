"""The report of a search for people: one HTML page that needs nothing beside it, and its figures
as PNG.

Names and reasons of trials may hold anything: corpus.pages.markup escapes all of it, and the page
forbids scripts.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from corpus.pages.figures import save_png
from corpus.pages.markup import Markup, el, flow_style, image, table
from corpus.pages.page import Section, sectioned
from engine.measure.enough import LEAST
from engine.measure.statistics import good_ranges
from flows.reports.search import plots, tables
from flows.reports.search.tables import error_of
from flows.searching.trials import Trials

Parts = list[Markup]


def write_page(
    out: Path, rows: list[dict[str, Any]], retrained: list[dict[str, Any]], about: dict[str, Any]
) -> None:
    """Write report.html, edf.png, and costs, axes, curves and best_of_k.png where there is
    something to draw.

    `rows` and `retrained` are those of trials.jsonl and retrained.jsonl; `about` is shown as it is,
    section by section.
    """
    trials = Trials(rows)
    ranges = _ranges(trials)
    figures = {
        "edf": plots.distribution(trials),
        "costs": plots.costs(trials),
        "axes": plots.axes(trials, ranges),
        "curves": plots.curves(trials),
        "best_of_k": plots.best_of_k(trials),
    }
    shown = {name: _figure(out / f"{name}.png", *found) for name, found in figures.items() if found}
    sections = {
        "What was searched": [_about(about)],
        "Outcomes": _outcomes(trials),
        "Best network": tables.best(trials),
        "Distribution of errors": [shown["edf"]],
        "Error against cost": [shown.get("costs")],
        "Axes of the space": [shown.get("axes"), *tables.axes(trials, ranges)],
        "Learning curves": [shown.get("curves")],
        "Best of k": [shown.get("best_of_k")],
        "Trained again": tables.retrained(trials, retrained),
        "All trials": tables.trials_table(trials),
    }
    (out / "report.html").write_text(_page(trials, sections), encoding="utf-8", newline="\n")


def _ranges(trials: Trials) -> plots.Ranges:
    """Where the good values of each axis lie; none of too few networks."""
    if len(trials.complete) < LEAST:
        return {}
    return good_ranges(trials.axes, trials.of("error"), torch.Generator().manual_seed(0))


def _page(trials: Trials, sections: dict[str, list[Markup | None]]) -> str:
    best = trials.complete[0] if trials.complete else None
    summary = {
        "networks drawn": len(trials.drawn),
        "complete": len(trials.complete),
        "not complete": len(trials.failed),
        "best error": error_of(best),
        "reference error": error_of(trials.reference),
    }
    made = []
    for title, parts in sections.items():
        made.append(Section(title, [part for part in parts if part]))
    return sectioned("Search report", "Search", summary, made, _cautions(trials))


def _cautions(trials: Trials) -> list[str]:
    """What a reader should know first: one sentence each, with what to do."""
    told, number, reference = [], len(trials.complete), trials.reference
    if number < LEAST:
        told.append(
            f"The statistics stand on {trials.count()}, fewer than {LEAST} complete ones: the best "
            "is one of few, another search would find another; raise search.trials."
        )
    if number and reference and reference["error"] < trials.complete[0]["error"]:
        errors = [error_of(row) for row in (reference, trials.complete[0])]
        told.append(
            f"The reference errs less ({errors[0]}) than the best network that was drawn "
            f"({errors[1]}): the winner is the best of those drawn, not of all; raise "
            "search.trials, or take the reference."
        )
    return told


def _figure(path: Path, figure: Any, caption: str) -> Markup:
    save_png(figure, path)
    picture = image(path.read_bytes(), f"figure {path.stem}", "png")
    return el("figure", el("div", picture, class_="scroll"), el("figcaption", caption))


def _about(about: dict[str, Any]) -> Markup:
    def shown(value: Any) -> Any:
        return el("code", flow_style(value)) if isinstance(value, dict) else value

    return table(["", ""], [[key, shown(value)] for key, value in about.items()])


def _outcomes(trials: Trials) -> Parts:
    """How many trials ended how, and what that does to the statistics."""
    counts = Counter(complete=len(trials.complete)) + trials.lost()
    rows = [
        [outcome, count, f"{count / len(trials.drawn):.0%}"]
        for outcome, count in counts.most_common()
    ]
    words = (
        f"All statistics are of {trials.count()}. A trial that is not complete has no error to "
        "compare: it is left out of the distributions, ranges, fronts and best of k, and counted "
        "here, in the titles and at the upper edge of the plots of cost."
    )
    if counts["pruned"]:
        words += (
            " Pruned trials were the worse ones: the distribution of the others is better than "
            "that of the space."
        )
    return [table(["outcome", "trials", "share"], rows, (1, 2)), el("p", words)]
