"""The tables of a search's report: best network, axes, what was trained again, all trials."""

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from corpus.pages.markup import Markup, el, flow_style, short, table
from engine.measure.enough import LEAST
from engine.measure.statistics import spread
from engine.measure.twosample import rank_correlations
from flows.reports.search import plots
from flows.searching.trials import COSTS, Trials, is_number

Parts = list[Markup]
HEAD = ["error", "top-5 error"]
WITHHELD = (
    f"Rank correlations and the ranges of good values are withheld: of fewer than {LEAST} networks "
    "they would be chance; raise search.trials."
)


def error_of(row: dict[str, Any] | None, key: str = "error") -> str:
    """An error in percent, or `none`."""
    return f"{row[key]:.2f} %" if row and is_number(row.get(key)) else "none"


def _cells(row: dict[str, Any], costs: list[str]) -> list[str]:
    """Errors and costs of a row."""

    def cost(key: str) -> str:
        known = is_number(row.get(key))
        return f"{row[key] / COSTS[key][1]:#.3g}".rstrip(".") if known else ""

    return [error_of(row), error_of(row, "error_top5"), *map(cost, costs)]


def _costs(trials: Trials) -> tuple[list[str], list[str]]:
    """The costs that any row has, and their headings."""
    known = []
    for key in COSTS:
        if any(is_number(row.get(key)) for row in trials.rows):
            known.append(key)
    return known, [COSTS[key][0].replace("millions", "M") for key in known]


def best(trials: Trials) -> Parts:
    """The best network that was drawn, and the reference beside it."""
    known, heads = _costs(trials)
    named = [(f"best (trial {row['trial']})", row) for row in trials.complete[:1]]
    if trials.reference:
        named.append(("reference", trials.reference))
    rows = []
    for name, row in named:
        network = el("code", flow_style(row.get("network")))
        rows.append([name, *_cells(row, known), network])
    right = range(1, len(HEAD + heads) + 1)
    return [table(["", *HEAD, *heads, "network"], rows, right)] if rows else []


def axes(trials: Trials, ranges: plots.Ranges) -> Parts:
    """Each axis: what was drawn, where the good networks lie, how it goes with the error."""
    if not trials.axes:
        return []
    if not ranges:
        drawn = [[axis, f"{v.min():.4g} to {v.max():.4g}"] for axis, v in trials.axes.items()]
        return [table(["axis", "drawn"], drawn, (1,)), el("p", WITHHELD)]
    rows = []
    for axis, values in trials.axes.items():
        low, median, high = ranges[axis]
        generator = torch.Generator().manual_seed(0)
        rho, *ends = rank_correlations(values, trials.of("error"), generator, 500)["spearman"]
        related = "constant" if np.isnan(rho) else f"{rho:+.2f} ({ends[0]:+.2f} to {ends[1]:+.2f})"
        drawn = f"{values.min():.4g} to {values.max():.4g}"
        rows.append([axis, drawn, f"{median:.4g}", f"{low:.4g} to {high:.4g}", related])
    head = ["axis", "drawn", "median of good", "95 % interval of good", "rank correlation"]
    head[-1] += " with error (Spearman, 95 %)"
    return [table(head, rows, range(1, 5))]


def retrained(trials: Trials, retrained: list[dict[str, Any]]) -> Parts:
    """The best networks after training with several seeds, the best mean first."""
    seeds = defaultdict(list)
    for row in retrained:
        seeds[row["trial"]].append(row["error"])
    searched = {row["trial"]: row for row in trials.rows}
    rows = []
    for trial, errors in seeds.items():
        ended = [error for error in errors if is_number(error)]
        mean, std = spread(ended) if ended else (np.inf, None)
        around = " (one seed)" if std is None else f" ± {std:.2f}"
        told = f"{mean:.2f}{around}" if ended else "none"
        counts = f"{len(ended)} of {len(errors)}"
        rows.append((mean, [str(trial), error_of(searched.get(trial)), told, counts]))
    ordered = [cells for _, cells in sorted(rows, key=lambda row: row[0])]
    words = (
        "Mean ± standard deviation of the held-out error over seeds. The error in the search was "
        "the least of many, by luck too: these are the ones to believe."
    )
    head = ["trial", "error in the search", "error trained again (%)", "seeds that ended"]
    return [el("p", words), table(head, ordered, range(4))] if rows else []


def trials_table(trials: Trials) -> Parts:
    """Every trial: the best first, the failed last, by what became of them."""
    known, heads = _costs(trials)
    costs = trials.costs if trials.complete else []
    fronts = {key: plots.front(trials, key) for key in costs}
    values_of = [row.get("values") or {} for row in trials.drawn]
    axes = list(dict.fromkeys(itertools.chain.from_iterable(values_of)))
    rows = []
    failed = sorted(trials.failed, key=lambda row: row["outcome"])
    for i, row in enumerate([*trials.complete, *failed]):
        best_of = [key for key, mask in fronts.items() if i < len(mask) and mask[i]]
        on = ", ".join(plots.cost_name(key) for key in best_of)
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
