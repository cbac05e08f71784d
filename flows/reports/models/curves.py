"""Section: the loss of every pretraining over its steps."""

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.markup import Markup, short
from flows.reports.models.findings import Curve, Findings

NOTE = "Mean loss of neighbouring steps. A curve that still falls steeply asks for more epochs."


def _series(name: str, curve: Curve) -> Series:
    style = "line" if len(curve.step) > 1 else "dots"
    return Series(short(name, 40), curve.step, curve.loss, style)


def section(findings: Findings) -> list[Markup]:
    """One chart of all curves."""
    ranks = {name: rank for rank, name in enumerate(findings.candidates)}  # colours as elsewhere
    names = sorted(findings.curves, key=lambda name: (ranks.get(name, len(ranks)), name))
    series = [_series(name, findings.curves[name]) for name in names]
    if not series:
        return []
    return [figure(Chart("curves", "step", "loss", series, NOTE, log=False))]
