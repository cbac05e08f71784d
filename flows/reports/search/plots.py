"""The figures of a search, each with what to read from it: the same bytes for the same trials."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from corpus.pages.figures import panels
from engine.measure.enough import LEAST
from engine.measure.statistics import (
    best_of,
    complexity_bins,
    complexity_weights,
    edf,
    pareto_front,
)
from flows.searching.trials import COSTS, Trials, is_number

ERROR = "held-out error (%)"
BLUE, GREEN, RED, GREY = "#2563c9", "#2b8a3e", "#d9480f", "#8a94a3"
Ranges = Mapping[str, tuple[float, float, float]]


def cost_name(key: str) -> str:
    """A cost in words, without its unit: `multiply-adds`."""
    return COSTS[key][0].partition(" (")[0]


def draw_edf(
    plot: Any, errors: Sequence[float], weights: Sequence[float] | None = None, **style: Any
) -> None:
    """One error distribution: the share of networks that err less, from 0 to 1."""
    errors, shares = edf(errors, weights)
    plot.step(np.append(errors[:1], errors), np.append(0, shares), where="post", **style)
    plot.set(xlabel=ERROR, ylim=(0, 1.03))


def _reference(plot: Any, trials: Trials, across: bool = False) -> None:
    if trials.reference:
        line = plot.axhline if across else plot.axvline
        line(trials.reference["error"], color=RED, linestyle="--", linewidth=1.3, label="reference")


def distribution(trials: Trials) -> tuple[Any, str]:
    """EDF, and normalised by the first cost that is known; the reference alone where no trial is
    complete.
    """
    costs = trials.costs[:1] if trials.complete else []
    figure, plots = panels(1 + len(costs), size=(5, 3.7))
    plots[0].set(xlabel=ERROR, ylabel="share of networks below", ylim=(0, 1.03))
    plots[0].set_title(f"error distribution of {trials.count()}", fontsize=10)
    if trials.complete:
        draw_edf(plots[0], trials.of("error"), color=BLUE, label="networks of the space")
    for key, plot in zip(costs, plots[1:], strict=True):
        _normalised_edf(plot, trials, key)
    for plot in plots:
        _reference(plot, trials)
        if plot.get_legend_handles_labels()[0]:
            plot.legend(fontsize=8)
    lost = f"Left out: {trials.reasons()}. " if trials.failed else ""
    return figure, lost + (
        "The further left, the better the space; the lower end shows the best networks. "
        "Normalised: as if the space held as many networks of every complexity, so that it is not "
        "the larger ones that make the difference."
    )


def _normalised_edf(plot: Any, trials: Trials, key: str) -> None:
    errors = trials.of("error")
    weights = complexity_weights(complexity_bins(trials.of(key)))
    draw_edf(plot, errors, color=GREY, linewidth=1, label="each network counts the same")
    each = f"each bin of {cost_name(key)} counts the same"
    draw_edf(plot, errors, weights, color=BLUE, label=each)
    plot.set_title(f"normalised, of {trials.count()}", fontsize=10)


def front(trials: Trials, key: str) -> np.ndarray:
    """Which complete trials no other beats in both error and this cost.

    A latency that was measured while other work had the machine is on no front, and beats none.
    """
    busy = [key == "latency_ms" and bool(row.get("latency_busy")) for row in trials.complete]
    quiet = ~np.array(busy, bool)
    on = np.zeros(len(quiet), bool)
    on[quiet] = pareto_front(np.stack([trials.of(key), trials.of("error")], 1)[quiet])
    return on


def costs(trials: Trials) -> tuple[Any, str] | None:
    """Error against each cost with the Pareto front.

    What failed is marked at the upper edge by its cost.
    """
    if not trials.complete or not trials.costs:
        return None
    figure, plots = panels(len(trials.costs))
    for key, plot in zip(trials.costs, plots, strict=True):
        _cost(plot, trials, key)
    keys = plots[0].get_legend_handles_labels()
    figure.legend(*keys, loc="outside upper center", ncols=4, fontsize=8)
    return figure, (
        "On the front are networks that no other beats in both; they are the ones to choose from."
    )


def _cost(plot: Any, trials: Trials, key: str) -> None:
    label, unit = COSTS[key]
    cost, errors = trials.of(key) / unit, trials.of("error")
    plot.scatter(cost, errors, s=18, color=BLUE, alpha=0.6, linewidths=0, label="networks")
    best = np.flatnonzero(front(trials, key))
    best = best[np.argsort(cost[best], kind="stable")]
    style = {"color": GREEN, "marker": "o", "markersize": 4, "drawstyle": "steps-post"}
    plot.plot(cost[best], errors[best], label="Pareto front", **style)
    lost = [row[key] / unit for row in trials.failed if is_number(row.get(key))]
    if lost:
        edge = plot.get_xaxis_transform()  # x in the plot's unit, y from 0 to 1
        style = {"color": RED, "alpha": 0.7, "clip_on": False, "transform": edge}
        plot.plot(lost, np.ones(len(lost)), "|", markersize=9, label="not complete", **style)
    reference = trials.reference
    if reference and is_number(reference.get(key)):
        place = reference[key] / unit, reference["error"]
        plot.plot(*place, "X", color=RED, label="reference")
    plot.set(xlabel=label, ylabel=ERROR)


def axes(trials: Trials, ranges: Ranges) -> tuple[Any, str] | None:
    """Error against each axis of the space that varies, and where the good networks lie."""
    varied = {axis: values for axis, values in trials.axes.items() if len(set(values)) > 1}
    if not varied:
        return None
    figure, plots = panels(len(varied), columns=4, size=(3.1, 2.7))
    for plot, (axis, values) in zip(plots, varied.items(), strict=True):
        if axis in ranges:
            low, median, high = ranges[axis]
            plot.axvspan(low, high, color=GREEN, alpha=0.15, linewidth=0)
            plot.axvline(median, color=GREEN, linewidth=1.3)
        plot.scatter(values, trials.of("error"), s=12, color=BLUE, alpha=0.6, linewidths=0)
        if values.min() > 0 and values.max() >= 8 * values.min():
            plot.set_xscale("log", base=2)
            plot.xaxis.set_major_formatter("{x:g}")
        plot.set_xlabel(axis, parse_math=False)
        plot.set_ylabel("error (%)")
    if not ranges:
        return figure, f"Of fewer than {LEAST} networks, what values are good is not told."
    return figure, (
        "Green: median and 95 % interval of the value in good networks (empirical bootstrap: the "
        "best of a quarter of the networks, 10,000 times). An interval as wide as the points says "
        "that the axis does not matter here."
    )


def curves(trials: Trials) -> tuple[Any, str] | None:
    """Error on held-out posts while the networks were trained."""
    reference = [trials.reference] if trials.reference else []
    kinds = [  # the best last: it lies above the others
        (trials.complete[1:], {"color": BLUE, "alpha": 0.3, "linewidth": 1, "label": "complete"}),
        (trials.failed, {"color": GREY, "linestyle": ":", "marker": ".", "label": "not complete"}),
        (reference, {"color": RED, "linestyle": "--", "label": "reference"}),
        (trials.complete[:1], {"color": GREEN, "linewidth": 2, "label": "best"}),
    ]
    figure, (plot,) = panels(1, size=(5.4, 3.9))
    named = set()
    for rows, style in kinds:
        for points in filter(None, map(_curve, rows)):
            label = None if style["label"] in named else style["label"]  # once in the legend
            plot.plot(*zip(*points, strict=True), **style | {"label": label})
            named.add(style["label"])
    if not named:
        return None
    plot.set(xlabel="epoch", ylabel=ERROR)
    plot.legend(fontsize=8)
    return figure, (
        "If the curves cross often, the regime is too short to tell the networks apart, or to "
        "prune early."
    )


def _curve(row: dict[str, Any]) -> list[tuple[float, float]]:
    return [(epoch, error) for epoch, error in row.get("curve") or [] if is_number(error)]


def best_of_k(trials: Trials) -> tuple[Any, str] | None:
    """What a search of k trials would have found."""
    n = len(trials.complete)
    if n < 2:
        return None
    ks = np.unique(np.geomspace(1, n, 60).round().astype(int))
    expected, low, high = best_of(trials.of("error"), ks, torch.Generator().manual_seed(0))
    figure, (plot,) = panels(1, size=(5.4, 3.9))
    plot.fill_between(
        ks, low, high, color=BLUE, alpha=0.15, linewidth=0, label="95 % interval (bootstrap)"
    )
    plot.plot(ks, expected, color=BLUE, marker="." if n < 20 else None, label="expected best of k")
    _reference(plot, trials, across=True)
    plot.set_xscale("log", base=2)
    plot.xaxis.set_major_formatter("{x:g}")
    plot.set(xlabel=f"k of {n} networks", ylabel=ERROR)
    plot.legend(fontsize=8)
    return figure, "Where the curve is flat, more trials of this kind would have found little."
