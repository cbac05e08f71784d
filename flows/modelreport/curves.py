"""Section: the loss of every pretraining over its steps."""

from corpus.report.charts import Chart, Series, figure
from corpus.report.markup import Markup, short
from flows.modelreport.findings import Findings

NOTE = "Mean loss of neighbouring steps. A curve that still falls steeply asks for more epochs."


def section(findings: Findings) -> list[Markup]:
    """One chart of all curves."""
    found = findings.curves.items()
    series = [Series(short(name, 40), curve.step, curve.loss) for name, curve in found]
    if not series:
        return []
    return [figure(Chart("curves", "step", "loss", series, NOTE, log=False))]
