"""The report of a search for people: one HTML page that needs nothing beside it, and its figures as PNG.

Names and reasons of trials may hold anything: corpus.report.markup escapes all of it, and the page forbids scripts.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from corpus.report.markup import Markup, document, el, image, short, table, tiles
from engine.statistics import good_ranges, spread
from engine.twosample import rank_correlations
from flows import searchplots
from flows.trials import COSTS, Trials, is_number

Parts = list[Markup]


def write(out: Path, rows: list[dict[str, Any]], retrained: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Write report.html, edf.png, and costs, axes, curves and best_of_k.png where there is something to draw.

    `rows` and `retrained` are those of trials.jsonl and retrained.jsonl; `about` is shown as it is, section by section.
    """
    trials = Trials(rows)
    ranges = good_ranges(trials.axes, trials.of("error"), torch.Generator().manual_seed(0)) if trials.complete else {}
    figures = {
        "edf": searchplots.distribution(trials),
        "costs": searchplots.costs(trials),
        "axes": searchplots.axes(trials, ranges),
        "curves": searchplots.curves(trials),
        "best_of_k": searchplots.best_of_k(trials),
    }
    shown = {name: _figure(out / f"{name}.png", *found) for name, found in figures.items() if found}
    sections = {
        "What was searched": [_about(about)],
        "Outcomes": _outcomes(trials),
        "Best network": _best(trials),
        "Distribution of errors": [shown["edf"]],
        "Error against cost": [shown.get("costs")],
        "Axes of the space": [shown.get("axes"), _axes(trials, ranges)],
        "Learning curves": [shown.get("curves")],
        "Best of k": [shown.get("best_of_k")],
        "Trained again": _retrained(trials, retrained),
        "All trials": _trials(trials),
    }
    (out / "report.html").write_text(_page(trials, sections), encoding="utf-8", newline="\n")


def _page(trials: Trials, sections: dict[str, list[Markup | None]]) -> str:
    best, reference = trials.complete[0] if trials.complete else None, trials.reference
    summary = {
        "networks drawn": len(trials.drawn),
        "complete": len(trials.complete),
        "not complete": len(trials.failed),
    }
    summary |= {"best error": _error(best), "reference error": _error(reference)}
    made = {title: [part for part in parts if part] for title, parts in sections.items()}
    made = {title: parts for title, parts in made.items() if parts}
    links = [el("a", title, href=f"#s{i}") for i, title in enumerate(made)]
    parts = [el("section", el("h2", title), *body, id=f"s{i}") for i, (title, body) in enumerate(made.items())]
    return document("Search report", el("h1", "Search"), el("nav", *links), tiles(summary), *parts)


def _figure(path: Path, figure: Any, caption: str) -> Markup:
    searchplots.save(figure, path)
    picture = image(path.read_bytes(), f"figure {path.stem}", "png")
    return el("figure", picture, el("figcaption", caption))


def _error(row: dict[str, Any] | None, key: str = "error") -> str:
    return f"{row[key]:.2f} %" if row and is_number(row.get(key)) else "none"


def _flow(section: Any) -> Markup:
    """A section of params.yaml in one line."""
    return el("code", yaml.safe_dump(section, default_flow_style=True, sort_keys=False, width=1e9).strip(" .\n"))


def _about(about: dict[str, Any]) -> Markup:
    return table(["", ""], [[key, _flow(value) if isinstance(value, dict) else value] for key, value in about.items()])


def _outcomes(trials: Trials) -> Parts:
    """How many trials ended how, and what that does to the statistics."""
    counts = Counter(complete=len(trials.complete)) + trials.lost()
    rows = [[outcome, count, f"{count / len(trials.drawn):.0%}"] for outcome, count in counts.most_common()]
    words = (
        f"All statistics are of {trials.count()}. A trial that is not complete has no error to compare: it is left out "
        "of the distributions, ranges, fronts and best of k, and counted here, in the titles and at the upper edge of "
        "the plots of cost."
    )
    if counts["pruned"]:
        words += " Pruned trials were the worse ones: the distribution of the others is better than that of the space."
    return [table(["outcome", "trials", "share"], rows, (1, 2)), el("p", words)]


def _cells(row: dict[str, Any], costs: list[str]) -> list[str]:
    """Errors and costs of a row."""
    numbers = [_error(row), _error(row, "error_top5")]
    return numbers + [
        f"{row[key] / COSTS[key][1]:#.3g}".rstrip(".") if is_number(row.get(key)) else "" for key in costs
    ]


HEAD = ["error", "top-5 error"]


def _costs(trials: Trials) -> tuple[list[str], list[str]]:
    """The costs that any row has, and their headings."""
    known = [key for key in COSTS if any(is_number(row.get(key)) for row in trials.rows)]
    return known, [f"{key} (M)" if COSTS[key][1] == 1e6 else key for key in known]


def _best(trials: Trials) -> Parts:
    known, heads = _costs(trials)
    named = [("best", row) for row in trials.complete[:1]] + [("reference", row) for row in [trials.reference] if row]
    rows = [
        [f"{name} (trial {row['trial']})" if name == "best" else name, *_cells(row, known), _flow(row.get("network"))]
        for name, row in named
    ]
    return [table(["", *HEAD, *heads, "network"], rows, range(1, len(HEAD + heads) + 1))] if rows else []


def _axes(trials: Trials, ranges: searchplots.Ranges) -> Markup | None:
    """Each axis: what was drawn, where the good networks lie, how it goes with the error."""
    if len(trials.complete) < 3 or not ranges:
        return None
    rows = []
    for axis, values in trials.axes.items():
        low, median, high = ranges[axis]
        rho, *ends = rank_correlations(values, trials.of("error"), torch.Generator().manual_seed(0), 500)["spearman"]
        related = "constant" if np.isnan(rho) else f"{rho:+.2f} ({ends[0]:+.2f} to {ends[1]:+.2f})"
        drawn = f"{values.min():.4g} to {values.max():.4g}"
        rows.append([axis, drawn, f"{median:.4g}", f"{low:.4g} to {high:.4g}", related])
    head = ["axis", "drawn", "median of good", "95 % interval of good", "Spearman with error (95 %)"]
    return table(head, rows, range(1, 5))


def _retrained(trials: Trials, retrained: list[dict[str, Any]]) -> Parts:
    """The best networks after training with several seeds, the best mean first."""
    seeds = defaultdict(list)
    for row in retrained:
        seeds[row["trial"]].append(row["error"])
    searched = {row["trial"]: row for row in trials.rows}
    rows = []
    for trial, errors in seeds.items():
        ended = [error for error in errors if is_number(error)]
        mean, std = spread(ended) if ended else (np.inf, None)
        told = "none" if not ended else f"{mean:.2f}" + (f" ± {std:.2f}" if std is not None else " (one seed)")
        rows.append((mean, [str(trial), _error(searched.get(trial)), told, f"{len(ended)} of {len(errors)}"]))
    ordered = [cells for _, cells in sorted(rows, key=lambda row: row[0])]
    words = (
        "Mean ± standard deviation of the held-out error over seeds. The error in the search was the least of many, by "
        "luck too: these are the ones to believe."
    )
    head = ["trial", "error in the search", "error trained again (%)", "seeds that ended"]
    return [el("p", words), table(head, ordered, range(4))] if rows else []


def _trials(trials: Trials) -> Parts:
    """Every trial: the best first, the failed last, by what became of them."""
    known, heads = _costs(trials)
    fronts = {key: searchplots.front(trials, key) for key in trials.costs} if trials.complete else {}
    axes = list(dict.fromkeys(axis for row in trials.drawn for axis in row.get("values") or {}))
    rows = []
    for i, row in enumerate([*trials.complete, *sorted(trials.failed, key=lambda row: row["outcome"])]):
        on = ", ".join(key for key, mask in fronts.items() if i < len(mask) and mask[i])
        values = [_value((row.get("values") or {}).get(axis)) for axis in axes]
        told = short(str(row.get("reason") or ""), 300)
        rows.append([str(row["trial"]), row["outcome"], *_cells(row, known), on, *values, told])
    head = ["trial", "outcome", *HEAD, *heads, "on the front of", *axes, "reason"]
    right = {0, *range(2, 4 + len(known)), *range(5 + len(known), len(head) - 1)}
    return [table(head, rows, right)]


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if is_number(value) else str(value)
