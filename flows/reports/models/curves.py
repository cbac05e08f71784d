"""Section: the loss of every pretraining, and of every fine-tuning of whole networks."""

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.markup import Markup, el, short
from flows.measuring.summary import SCRATCH
from flows.reports.models.findings import Curve, Findings
from flows.reports.models.words import INITS

NOTE = "Mean loss of neighbouring steps. A curve that still falls steeply asks for more epochs."
NEIGHBOURS = (
    "Percent of validation images whose nearest training images name their class, by its features "
    "meanwhile. Losses of unlike objectives are no measure of one another, this is."
)


def _series(name: str, curve: Curve) -> Series:
    style = "line" if len(curve.step) > 1 else "dots"
    return Series(short(name, 40), curve.step, curve.loss, style)


ARMS = "Loss of every fine-tuned network on its labels, a point per epoch or per 50 steps."
SEEDS = 12  # curves in one chart


def _arms(findings: Findings) -> list[Markup]:
    """A chart per candidate and number of labels: a line per seed, dashed without pretraining."""
    charts = []
    for group, curves in findings.arms.items():
        ordered = sorted(curves, key=lambda name: (name.split(", ")[0], len(name), name))
        series = []
        for name in ordered[:SEEDS]:
            made = _series(name, curves[name])
            scratch = name.startswith(INITS[SCRATCH]) and made.style == "line"
            series.append(Series(made.label, made.x, made.y, "dash" if scratch else made.style))
        left = f" {len(ordered) - SEEDS} more are in MLflow." if len(ordered) > SEEDS else ""
        told = f"{short(group, 80)}. {ARMS}{left}"
        charts.append(figure(Chart("arms", "step", "loss", series, told, log=False)))
    return [el("h3", "Fine-tuning"), el("div", *charts, class_="pair")] if charts else []


def section(findings: Findings) -> list[Markup]:
    """The loss of all pretrainings, their nearest neighbours, and the charts of the fine-tuning."""
    ranks = {name: rank for rank, name in enumerate(findings.candidates)}  # colours as elsewhere
    parts = []
    for name, ylabel, found, told in (
        ("curves", "loss", findings.curves, NOTE),
        ("neighbours", "k-NN accuracy, %", findings.neighbours, NEIGHBOURS),
    ):
        names = sorted(found, key=lambda name: (ranks.get(name, len(ranks)), name))
        series = [_series(each, found[each]) for each in names]
        if series:
            parts.append(figure(Chart(name, "step", ylabel, series, told, log=False)))
    return [*parts, *_arms(findings)]
