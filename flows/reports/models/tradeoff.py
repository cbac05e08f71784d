"""Section: the headline against latency and multiply-adds."""

from typing import Any

from corpus.pages.charts import COLOURS
from corpus.pages.markup import Markup, el, tag
from flows.measuring.headline import of_record
from flows.measuring.summary import SCRATCH, head_name
from flows.reports.models import scatter, words
from flows.reports.models.findings import Findings, Record

SHAPES = {"linear": "circle", "logistic": "square", "knn": "triangle"}
AXES = (  # key, what it is, its unit, whether a busy machine spoils it
    ("latency_p50_ms", "latency of one image, p50 (ms)", 1, True),
    ("flops", "multiply-adds (millions)", 1e6, False),
)
NOTE = (
    "A colour per candidate; full: pretrained, hollow: not. Circle: fine-tuned, square: linear "
    "probe, triangle: nearest neighbours. The line joins the models that no other beats in both."
)
LOUD = " Dashed: measured while other work took the processors; these are left out of the line."


def points(findings: Findings, key: str, unit: float, timed: bool) -> list[scatter.Point]:
    """A point per model of the first task, at its first size."""
    found = []
    for record in drawn(findings):
        mean, low, high = words.ends(record)
        style: dict[str, Any] = {
            "colour": findings.candidates.index(record["candidate"]),
            "shape": SHAPES.get(head_name(record), "circle"),
            "hollow": record["init"] == SCRATCH,
            "loud": timed and bool(record.get("busy")),
        }
        name = f"{words.model(record)}: {of_record(record).written(mean)}"
        found.append(scatter.Point(name, record[key] / unit, mean, low, high, **style))
    return found


def drawn(findings: Findings) -> list[Record]:
    """The records of the first task at its first size: numbers that may be compared."""
    size = findings.first[0]["size"]
    return [record for record in findings.first if record["size"] == size]


def section(findings: Findings) -> list[Markup]:
    """Both plots, and their key."""
    plots, headline = [], findings.headline(findings.tasks[0])
    for key, label, unit, timed in AXES:
        shown = points(findings, key, unit, timed)
        plots.append(el("figure", scatter.picture(shown, label, headline.axis, headline.higher)))
    names = enumerate(findings.candidates)
    keys = [el("li", el("i", class_=f"key s{i % COLOURS}"), tag(name)) for i, name in names]
    note = NOTE + (LOUD if any(record.get("busy") for record in drawn(findings)) else "")
    legend = el("ul", *keys, class_="legend")
    return [legend, el("div", *plots, class_="pair"), el("p", note, class_="soft")]
