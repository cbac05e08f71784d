"""The picture of the report: top-1 against latency and multiply-adds."""

from pathlib import Path
from typing import Any

from corpus.pages.markdown import seen

MARKERS = {"full": "o", "linear": "s", "knn": "^"}
TIMED, FAINT = ("latency_p50_ms",), 0.3  # a time of a busy machine is drawn so faint
AXES = (
    ("latency_p50_ms", "latency p50, one image (ms)", 1),
    ("flops", "multiply-adds (millions)", 1e6),
)


def plot(path: Path, records: list[dict[str, Any]]) -> None:
    """Top-1 on the first target set, a colour per candidate, filled when pretrained; PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = (records[0]["target"], records[0]["size"])
    records = [record for record in records if (record["target"], record["size"]) == shown]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    candidates = list(dict.fromkeys(record["candidate"] for record in records))
    for axis, (key, label, unit) in zip(axes, AXES, strict=True):
        for record in records:
            _point(axis, record, key, unit, f"C{candidates.index(record['candidate'])}")
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.15 * max(record[key] for record in records) / unit)
        axis.grid(alpha=0.3)
    # a name with dollar signs is no formula
    axes[0].set_ylabel(f"top-1 on the test split of {seen(shown[0])} (%)", parse_math=False)
    modes = dict.fromkeys(record["mode"] for record in records)
    loud = any(record.get("busy") for record in records)
    _legend(axes[1], candidates, list(modes), loud)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _point(axis: Any, record: dict[str, Any], key: str, unit: float, color: str) -> None:
    mean, loud = record["top1_mean"], key in TIMED and bool(record.get("busy"))
    axis.errorbar(
        record[key] / unit,
        mean,
        yerr=[[mean - record["top1_low"]], [record["top1_high"] - mean]],
        alpha=FAINT if loud else 1,
        marker=MARKERS.get(record["mode"], "D"),
        color=color,
        markerfacecolor=None if record["init"] == "pretrained" else "white",
        capsize=3,
    )


def _legend(axis: Any, candidates: list[str], modes: list[str], loud: bool) -> None:
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        grey = {"marker": "o", "color": "grey"}
        return Line2D([], [], linestyle="", **(grey | style), label=seen(label))

    handles = [handle(name, color=f"C{i}") for i, name in enumerate(candidates)]
    handles += [handle("pretrained"), handle("from scratch", markerfacecolor="white")]
    handles += [handle(mode, marker=MARKERS.get(mode, "D")) for mode in modes]
    if loud:
        handles.append(handle("latency of a busy machine", alpha=FAINT))
    for text in axis.legend(handles=handles, fontsize=8).get_texts():
        text.set_parse_math(False)
