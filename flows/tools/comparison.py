"""Finished searches side by side: which design space is better, and do two ways of training rank
networks alike? flows/tools/compare.py is its command line.

Radosavovic et al. 2019 (arXiv 1905.13214) compare spaces by their error distributions, also
normalised by complexity; Liu et al. 2020 (arXiv 2003.12056) compare pretexts by the rank
correlation of the networks that both have trained.
"""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus.names import printable
from corpus.pages.figures import panels, save_png
from corpus.pages.markup import el, image, table
from corpus.pages.page import Section, sectioned
from engine.measure.enough import LEAST, enough
from engine.measure.statistics import complexity_bins, complexity_weights
from engine.measure.twosample import holm, ks, mean_difference, normalised_ks, rank_correlations
from flows.reports.search.plots import ERROR, draw_edf
from flows.searching.trials import Trials, is_number, read_trials

Searches = dict[str, Trials]
FEW = f"withheld: fewer than {LEAST}"
TABLES = {  # head of each, and what it says
    "Searches": (
        ["search", "n", "not complete", "least", "median", "mean", "reference", "images each"],
        "A trial that is not complete has no error and is left out of all but the counts; where "
        "many were pruned, the survivors look better than their space.",
    ),
    "Differences": (
        [
            "first",
            "second",
            "mean difference",
            "KS",
            "p (Holm)",
            "KS normalised",
            "p (Holm)",
            "n compared",
        ],
        "Mean difference: of the second less the first, with Welch's 95 % interval. KS: greatest "
        "distance of two error distributions; p: chance of one as great if the spaces were alike, "
        "after Holm's correction for the number of pairs. Normalised: every bin of {by} counts the "
        "same, among the bins that hold networks of both spaces; p by permutation within these "
        "bins.",
    ),
    "Networks in common": (
        ["first", "second", "n", "Spearman (95 %)", "Kendall (95 %)"],
        "The rank correlation of their errors, with bootstrap 95 % interval, tells whether one "
        "training can stand for the other when networks are chosen. Fewer than "
        f"{LEAST} networks do not tell.",
    ),
}
WORDS = ("search", "not complete", "first", "second")


def read_searches(folders: Sequence[str], names: Sequence[str] | None, by: str) -> Searches:
    """The searches by name: the given ones, else the folders', as short as they differ."""
    if len(folders) < 2:
        raise ValueError(f"{len(folders)} search to compare: name two folders or more")
    ends = [Path(folder).resolve().name for folder in folders]
    names = names or (ends if len(set(ends)) == len(ends) else folders)
    if len(set(names)) != len(folders) or len(names) != len(folders):
        raise ValueError(
            f"{len(folders)} searches, but the names {', '.join(names)}: give each its own by "
            "--names"
        )
    searches = {}
    for name, folder in zip(names, folders, strict=True):
        searches[name] = trials = read_trials(Path(folder))
        if not trials.complete:
            raise ValueError(
                f"{name}: {trials.count()} complete ({trials.reasons()}): there is nothing to "
                "compare"
            )
        if by not in trials.costs:
            raise ValueError(f"{name}: not all trials know their {by}: choose another cost by --by")
    return searches


def overview(searches: Searches) -> list[list[str]]:
    """A row per search."""
    rows = []
    for name, trials in searches.items():
        errors = trials.of("error")
        numbers = [f"{number:.2f}" for number in (errors[0], np.median(errors), errors.mean())]
        reference = f"{trials.reference['error']:.2f}" if trials.reference else ""
        seen = [row["images"] for row in trials.complete if is_number(row.get("images"))]
        images = f"{np.median(seen):,.0f}" if seen else ""
        rows.append(
            [name, str(len(errors)), trials.reasons() or "none", *numbers, reference, images]
        )
    return rows


def differences(searches: Searches, by: str) -> list[list[str]]:
    """A row per pair: mean difference, KS plain and normalised, p corrected for the number of
    pairs.
    """
    generator = torch.Generator().manual_seed(0)
    pairs = list(combinations(searches, 2))
    plain, normalised = [], []
    for first, second in pairs:
        errors = searches[first].of("error"), searches[second].of("error")
        costs = searches[first].of(by), searches[second].of(by)
        plain.append(ks(*errors))
        normalised.append(normalised_ks(errors, costs, generator))
    plain_p = holm([test.p for test in plain])
    # in the order of the pairs that have such a test
    normalised_p = iter(holm([test.p for test in normalised if test]))
    rows = []
    for (first, second), test, p, by_bins in zip(pairs, plain, plain_p, normalised, strict=True):
        mean, low, high = mean_difference(searches[first].of("error"), searches[second].of("error"))
        few = low is None or not enough(min(test.sizes))
        interval = "" if few else f" ({low:+.2f} to {high:+.2f})"
        row = [first, second, f"{mean:+.2f}{interval}", f"{test.distance:.3f}", f"{p:.2g}"]
        if by_bins:
            sizes = "{} and {}".format(*by_bins.sizes)
            row += [f"{by_bins.distance:.3f}", f"{next(normalised_p):.2g}", sizes]
        else:
            row += ["", "", "0"]
        rows.append(row)
    return rows


def in_common(searches: Searches) -> dict[tuple[str, str], np.ndarray]:
    """Of each pair of searches that share networks: the errors (2, n) of these."""
    by_network = {name: _errors_by_network(trials) for name, trials in searches.items()}
    found = {}
    for first, second in combinations(searches, 2):
        one, other = by_network[first], by_network[second]
        shared = [key for key in one if key in other]
        if len(shared) > 1:
            sides = [one[key] for key in shared], [other[key] for key in shared]
            found[first, second] = np.array(sides)
    return found


def _errors_by_network(trials: Trials) -> dict[str, float]:
    return {_key(row): row["error"] for row in trials.complete}


def _key(row: dict[str, Any]) -> str:
    return json.dumps(row.get("network") or row.get("values"), sort_keys=True)


def agreements(shared: dict[tuple[str, str], np.ndarray]) -> list[list[str]]:
    """A row per pair that shares networks: how many, and how alike both rank them."""
    rows = []
    for pair, errors in shared.items():
        told = [FEW, FEW]
        if enough(errors.shape[1]):
            found = rank_correlations(*errors, torch.Generator().manual_seed(0)).values()
            told = [f"{value:+.3f} ({low:+.3f} to {high:+.3f})" for value, low, high in found]
        rows.append([*pair, str(errors.shape[1]), *told])
    return rows


def draw(
    path: Path, searches: Searches, by: str, shared: dict[tuple[str, str], np.ndarray]
) -> None:
    """EDF and normalised EDF of all searches over each other.

    A scatter plot per pair that shares networks.
    """
    figure, plots = panels(2 + len(shared), columns=2, size=(5, 3.8))
    among = np.concatenate([trials.of(by) for trials in searches.values()])
    for i, (name, trials) in enumerate(searches.items()):
        weights = complexity_weights(complexity_bins(trials.of(by), among))
        style = {"color": f"C{i}", "label": f"{name}: {trials.count()}"}
        draw_edf(plots[0], trials.of("error"), **style)
        draw_edf(plots[1], trials.of("error"), weights, **style)
        if trials.reference:
            plots[0].axvline(trials.reference["error"], color=f"C{i}", linestyle=":", linewidth=1)
    plots[0].set_title("EDF (dotted: references)", fontsize=10)
    plots[1].set_title(f"EDF normalised by {by}", fontsize=10)
    plots[0].set_ylabel("share of networks below")
    keys = plots[0].get_legend_handles_labels()
    for text in figure.legend(*keys, loc="outside upper center", ncols=3, fontsize=8).get_texts():
        text.set_parse_math(False)
    for plot, ((a, b), errors) in zip(plots[2:], shared.items(), strict=True):
        plot.scatter(*errors, s=18, alpha=0.6, linewidths=0)
        plot.set_xlabel(f"{a}: {ERROR}", parse_math=False)
        plot.set_ylabel(f"{b}: {ERROR}", parse_math=False)
        plot.set_title(f"{errors.shape[1]} networks in common", fontsize=10)
    save_png(figure, path)


def compare(folders: Sequence[str], names: Sequence[str] | None, out: Path, by: str) -> None:
    """Print the tables; write them with the figure as one page, and the figure beside it."""
    searches = read_searches(folders, names, by)
    shared = in_common(searches)
    out.parent.mkdir(parents=True, exist_ok=True)
    draw(out.with_suffix(".png"), searches, by, shared)
    picture = image(out.with_suffix(".png").read_bytes(), "error distributions", "png")
    sections = [Section("Distributions", [el("figure", picture)])]
    made = overview(searches), differences(searches, by), agreements(shared)
    for (title, (head, note)), rows in zip(TABLES.items(), made, strict=True):
        if rows:
            print(f"{title}\n{printable(_aligned([head, *rows]), keep=chr(10))}\n")
            numeric = [i for i, name in enumerate(head) if name not in WORDS]
            told = [table(head, rows, numeric), el("p", note.format(by=by))]
            sections.append(Section(title, told))
    summary = {
        "searches": len(searches),
        "networks": sum(len(trials.complete) for trials in searches.values()),
    }
    page = sectioned("Searches compared", "Searches compared", summary, sections)
    out.write_text(page, encoding="utf-8", newline="\n")
    print(f"written: {out}, {out.with_suffix('.png')}")


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
