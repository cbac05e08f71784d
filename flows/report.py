"""The report: one table, one picture, the gain of pretraining, the commands that open the UIs. Written, and printed."""

import base64
import html
import json
from pathlib import Path
from typing import Any

COLUMNS = {
    "model": "model",
    "target": "target",
    "px": "size",
    "top-1 % (95 % over seeds)": "top1",
    "lower bound %": "bound",
    "top-5 %": "top5",
    "params M": "params",
    "flops M": "flops",
    "acts M": "acts",
    "p50 / p95 / p99 ms": "latency",
    "images/s": "speed",
    "MiB": "memory",
    "version": "version",
}
MARKERS = {"full": "o", "linear": "s", "knn": "^"}
UIS = (("MLflow", "make mlflow", "http://127.0.0.1:5000"), ("Prefect", "make prefect", "http://127.0.0.1:4200"))


def latencies(cost: dict[str, Any]) -> str:
    """The percentiles of a time."""
    return " / ".join(f"{cost[f'latency_p{p}_ms']:.1f}" for p in (50, 95, 99))


def row(record: dict[str, Any], version: str) -> dict[str, str]:
    """The cells of one model."""
    several = record["top1_mean_high"] is not None
    spread = f" ± {record['top1_mean_high'] - record['top1_mean']:.1f}" if several else " (one seed)"
    return {
        "model": "-".join(str(record[key]) for key in ("candidate", "init", "mode", "labels")),
        "target": record["target"],
        "size": str(record["size"]),
        "top1": f"{record['top1_mean']:.1f}{spread}",
        "bound": f"{record['top1_mean_lower_bound']:.1f}",
        "top5": f"{record['top5']:.1f}",
        "params": f"{record['params'] / 1e6:.2f}",
        "flops": f"{record['flops'] / 1e6:.1f}",
        "acts": f"{record['acts'] / 1e6:.2f}",
        "latency": latencies(record),
        "speed": f"{record['images_per_second']:.0f}",
        "memory": f"{record['peak_memory_mib']:.1f}",
        "version": version,
    }


def gain_line(gain: dict[str, Any]) -> str:
    """One sentence: what hashtags gave."""
    interval = f"95 % interval {gain['gain_low']:+.1f} to {gain['gain_high']:+.1f}" if gain["seeds"] > 1 else "one seed"
    return (
        f"{gain['target']}: {gain['candidate']}, {gain['mode']}, {gain['labels']} labels per class, {gain['size']} px: "
        f"{gain['pretrained']:.1f} % pretrained on hashtags, {gain['scratch']:.1f} % from scratch: "
        f"{gain['gain']:+.1f} points ({gain['seeds']} seeds, {interval})"
    )


def choice_line(record: dict[str, Any]) -> str | None:
    """One sentence: which hyper-parameters were chosen, and of what; none where there was no choice."""
    if not record["scores"]:
        return None

    def told(values: dict[str, Any]) -> str:
        return ", ".join(f"{key} {value}" for key, value in values.items() if key != "top1")

    arm = "-".join(str(record[key]) for key in ("candidate", "target", "init", "mode", "labels"))
    scores = ", ".join(f"{told(score)} ({score['top1']:.1f} %)" for score in record["scores"])
    counts = f"fitted on {record['fit']} labels, scored on {record['held_out']} held out"
    return f"{arm}: {told(record['chosen'])} of {scores}; {counts}"


def cost_lines(records: list[dict[str, Any]]) -> list[str]:
    """A table of what each network costs per batch, in use and in training; models of one network share its lines."""
    models: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        models.setdefault(json.dumps(record["costs"]), []).append(record)
    lines = ["| network | mode | batch | p50 / p95 / p99 ms | images/s | MiB |", "|" + " --- |" * 6]
    for shared in models.values():
        modes = " and ".join(dict.fromkeys(record["mode"] for record in shared))
        name = "{candidate}, {target}, {modes}, {size} px".format(**shared[0] | {"modes": modes})
        for cost in shared[0]["costs"]:
            batch, asked = cost["batch"], cost["asked"]
            ran_out = f" (memory ran out at {asked})" if batch < asked else ""
            cells = [name, cost["mode"], f"{batch}{ran_out}", latencies(cost), f"{cost['images_per_second']:.0f}"]
            lines.append("| " + " | ".join([*cells, f"{cost['peak_memory_mib']:.1f}"]) + " |")
    return lines


def plot(path: Path, records: list[dict[str, Any]]) -> None:
    """Top-1 on the first target set against latency and flops, one colour per candidate, filled when pretrained."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    records = [r for r in records if (r["target"], r["size"]) == (records[0]["target"], records[0]["size"])]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    candidates = list(dict.fromkeys(record["candidate"] for record in records))
    for axis, (key, label, unit) in zip(
        axes,
        (("latency_p50_ms", "latency p50, one image (ms)", 1), ("flops", "multiply-adds (millions)", 1e6)),
        strict=True,
    ):
        for record in records:
            several = record["top1_mean_high"] is not None
            axis.errorbar(
                record[key] / unit,
                record["top1_mean"],
                yerr=record["top1_mean_high"] - record["top1_mean"] if several else None,
                marker=MARKERS[record["mode"]],
                color=f"C{candidates.index(record['candidate'])}",
                markerfacecolor=None if record["init"] == "pretrained" else "white",
                capsize=3,
            )
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.15 * max(record[key] for record in records) / unit)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"top-1 on the test split of {records[0]['target']} (%)")
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="", **({"marker": "o", "color": "grey"} | style), label=label)

    handles = [handle(name, color=f"C{i}") for i, name in enumerate(candidates)]
    handles += [handle("pretrained"), handle("from scratch", markerfacecolor="white")]
    handles += [handle(mode, marker=MARKERS[mode]) for mode in dict.fromkeys(record["mode"] for record in records)]
    axes[1].legend(handles=handles, fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def markdown(
    records: list[dict[str, Any]],
    gains: list[dict[str, Any]],
    versions: dict[str, str],
    decision: str,
    origin: dict[str, str],
) -> str:
    """The report as Markdown."""
    targets = list(dict.fromkeys(record["target"] for record in records))
    ordered = sorted(records, key=lambda record: (targets.index(record["target"]), -record["top1_mean"]))
    rows = [row(record, versions[record["model"]]) for record in ordered]
    several = {key: len({cells[key] for cells in rows}) > 1 for key in ("target", "size")}
    columns = {name: key for name, key in COLUMNS.items() if several.get(key, True)}
    table = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    table += ["| " + " | ".join(cells[key] for key in columns.values()) + " |" for cells in rows]
    lines = ["# Models compared", "", *table, "", f"**{decision[0].upper()}{decision[1:]}.**", ""]
    lines += [f"- {gain_line(gain)}" for gain in gains]
    choices = dict.fromkeys(map(choice_line, ordered))  # sizes share one
    lines += ["", *(f"- {line}" for line in choices if line)]
    first, counts = records[0], {record["target"]: (record["samples"], record["duplicates"]) for record in records}
    tests = "; ".join(f"{name}: {images} test images, {twins} duplicates" for name, (images, twins) in counts.items())
    lines += [
        "",
        f"Measured on {first['device']} by {first['clock']}, {first['dtype']}; latency for one image, images/s and "
        f"memory at a batch of {first['batch']}; flops are multiply-adds. Lower bound: duplicates of posts count as "
        f"wrong (Mahajan et al. 2018). {tests}.",
        "",
        ", ".join(f"{key.removeprefix('tagdag.')} `{value}`" for key, value in origin.items()),
        "",
        "![accuracy against latency and flops](comparison.png)",
        "",
        "## Cost by batch",
        "",
        *cost_lines(ordered),
        "",
    ]
    lines += [f"- {name} UI: `{command}`, then {url}" for name, command, url in UIS]
    return "\n".join(lines) + "\n"


def page(text: str, picture: Path) -> str:
    """The same as one HTML file that needs nothing beside it."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark").enable("table").render(text)
    source = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    style = "body{font:15px sans-serif;max-width:70em;margin:2em auto}td,th{padding:.2em .7em;border:1px solid #ccc}"
    style += "table{border-collapse:collapse;font-variant-numeric:tabular-nums}img{max-width:100%}"
    title = html.escape("tagdag: models compared")
    head = f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    return head + body.replace('src="comparison.png"', f'src="{source}"')


def write(
    out: Path, records: list, gains: list, versions: dict[str, str], decision: str, origin: dict[str, str]
) -> None:
    """Write report.md, report.html and comparison.png."""
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(records, gains, versions, decision, origin)
    plot(out / "comparison.png", records)
    (out / "report.md").write_text(text)
    (out / "report.html").write_text(page(text, out / "comparison.png"))
