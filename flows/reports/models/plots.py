"""The picture of the report: the headline against latency and multiply-adds."""

from pathlib import Path
from typing import Any

from corpus.pages.figures import new_figure, save_png
from corpus.pages.markdown import seen
from flows.measuring.headline import of_record
from flows.measuring.summary import SCRATCH, head_name
from flows.reports.models import words
from flows.reports.models.findings import Record

MARKERS = {"linear": "o", "logistic": "s", "knn": "^"}
TIMED, FAINT = ("latency_p50_ms",), 0.3  # a time of a busy machine is drawn so faint
AXES = (
    ("latency_p50_ms", "latency p50, one image (ms)", 1),
    ("flops", "multiply-adds (millions)", 1e6),
)


def plot(path: Path, records: list[Record]) -> None:
    """The headline on the first task, a colour per candidate, filled when pretrained; PNG."""
    headline, shown = of_record(records[0]), (records[0]["task"], records[0]["size"])
    records = [record for record in records if (record["task"], record["size"]) == shown]
    candidates = list(dict.fromkeys(record["candidate"] for record in records))
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, (key, label, unit) in zip((left, right), AXES, strict=True):
        for record in records:
            _point(axis, record, key, unit, f"C{candidates.index(record['candidate'])}")
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.15 * max(record[key] for record in records) / unit)
        axis.grid(alpha=0.3)
    # a name with dollar signs is no formula
    unit = f" ({headline.unit})" if headline.unit else ""
    told = f"{headline.title} on the test split of {seen(shown[0])}{unit}"
    left.set_ylabel(told, parse_math=False)
    heads = dict.fromkeys(map(head_name, records))
    busy = any(record.get("busy") for record in records)
    _legend(right, candidates, list(heads), busy)
    save_png(figure, path)


def _point(axis: Any, record: Record, key: str, unit: float, color: str) -> None:
    mean, low, high = words.ends(record)
    busy = key in TIMED and bool(record.get("busy"))
    axis.errorbar(
        record[key] / unit,
        mean,
        yerr=[[mean - low], [high - mean]],
        alpha=FAINT if busy else 1,
        marker=MARKERS.get(head_name(record), "D"),
        color=color,
        markerfacecolor="white" if record["init"] == SCRATCH else None,
        capsize=3,
    )


def _legend(axis: Any, candidates: list[str], heads: list[str], busy: bool) -> None:
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        grey = {"marker": "o", "color": "grey"}
        return Line2D([], [], linestyle="", **(grey | style), label=seen(label))

    handles = [handle(name, color=f"C{i}") for i, name in enumerate(candidates)]
    handles += [handle("pretrained"), handle("from scratch", markerfacecolor="white")]
    handles += [
        handle(words.HEADS.get(head, head), marker=MARKERS.get(head, "D")) for head in heads
    ]
    if busy:
        handles.append(handle("latency of a busy machine", alpha=FAINT))
    for text in axis.legend(handles=handles, fontsize=8).get_texts():
        text.set_parse_math(False)
