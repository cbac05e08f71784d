"""The report: one table, one picture, the gain of pretraining, where the UIs show more. Written, and printed."""

import json
from pathlib import Path
from typing import Any

from flows.markdown import code, page, table, told
from flows.reportplot import plot

COLUMNS = {
    "model": "model",
    "target": "target",
    "px": "size",
    "top-1 % (95 % over seeds and test images)": "top1",
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
COSTS = ["network", "mode", "batch", "p50 / p95 / p99 ms", "images/s", "MiB"]
UIS = (("MLflow", "make mlflow", "http://127.0.0.1:5000"), ("Prefect", "make prefect", "http://127.0.0.1:4200"))
Record = dict[str, Any]


def latencies(cost: Record) -> str:
    """The percentiles of a time, and whether other work took the processors meanwhile."""
    times = " / ".join(f"{cost[f'latency_p{p}_ms']:.1f}" for p in (50, 95, 99))
    return f"{times} (busy)" if cost.get("busy") else times


def row(record: Record, version: str) -> dict[str, str]:
    """The cells of one model."""
    spread = f" ({record['top1_low']:.1f} to {record['top1_high']:.1f})"
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


def gain_line(gain: Record) -> str:
    """One sentence of plain text: what hashtags gave."""
    interval = f"95 % interval {gain['gain_low']:+.1f} to {gain['gain_high']:+.1f}"
    return (
        f"{gain['target']}: {gain['candidate']}, {gain['mode']}, {gain['labels']} labels per class, {gain['size']} px: "
        f"{gain['pretrained']:.1f} % pretrained on hashtags, {gain['scratch']:.1f} % from scratch: "
        f"{gain['gain']:+.1f} points ({gain['seeds']} seeds, {interval})"
    )


def choice_line(record: Record) -> str | None:
    """One sentence: which hyper-parameters were chosen, and of what; none where there was no choice."""
    if not record["scores"]:
        return None

    def values(chosen: Record) -> str:
        return ", ".join(f"{key} {value}" for key, value in chosen.items() if key != "top1")

    arm = "-".join(str(record[key]) for key in ("candidate", "target", "init", "mode", "labels"))
    scores = ", ".join(f"{values(score)} ({score['top1']:.1f} %)" for score in record["scores"])
    counts = f"fitted on {record['fit']} labels, scored on {record['held_out']} held out"
    return f"{arm}: {values(record['chosen'])} of {scores}; {counts}"


def cost_lines(records: list[Record]) -> list[str]:
    """A table of what each network costs per batch, in use and in training; models of one network share its lines."""
    models: dict[str, list[Record]] = {}
    for record in records:
        models.setdefault(json.dumps(record["costs"]), []).append(record)
    rows = []
    for shared in models.values():
        modes = " and ".join(dict.fromkeys(record["mode"] for record in shared))
        name = "{candidate}, {target}, {modes}, {size} px".format(**shared[0] | {"modes": modes})
        busy = any(record.get("busy") for record in shared)
        rows += [[name, *_cost_cells({"busy": busy} | cost)] for cost in shared[0]["costs"]]
    return table(COSTS, rows)


def _cost_cells(cost: Record) -> list[str]:
    batch, asked = cost["batch"], cost["asked"]
    ran_out = f" (memory ran out at {asked})" if batch < asked else ""
    speed, memory = f"{cost['images_per_second']:.0f}", f"{cost['peak_memory_mib']:.1f}"
    return [cost["mode"], f"{batch}{ran_out}", latencies(cost), speed, memory]


def model_table(records: list[Record], versions: dict[str, str]) -> list[str]:
    """The table of all models; target and size are columns where there are several."""
    rows = [row(record, versions[record["model"]]) for record in records]
    several = {key: len({cells[key] for cells in rows}) > 1 for key in ("target", "size")}
    columns = {name: key for name, key in COLUMNS.items() if several.get(key, True)}
    return table(list(columns), [[cells[key] for key in columns.values()] for cells in rows])


def measured(records: list[Record]) -> list[str]:
    """How the numbers came about."""
    first = records[0]
    counts = {record["target"]: (record["samples"], record["duplicates"]) for record in records}
    tests = [f"{told(name)}: {n} test images, {twins} duplicates" for name, (n, twins) in counts.items()]
    where = f"{told(first['device'])} by {told(first['clock'])}, {told(first['dtype'])}"
    lines = [
        f"Measured on {where}; latency for one image, images/s and memory at a batch of "
        f"{first['batch']}; flops are multiply-adds. Lower bound: duplicates of posts count as wrong "
        f"(Mahajan et al. 2018). {'; '.join(tests)}."
    ]
    reasons = dict.fromkeys(record["busy"] for record in records if record.get("busy"))
    if reasons:
        named = "; ".join(told(reason) for reason in reasons if isinstance(reason, str))
        why = f" ({named})" if named else ""
        lines += ["", f"Busy: other work took the processors while this was measured{why}: it may be too slow."]
    return lines


def links_lines(links: dict[str, str]) -> list[str]:
    """How the UIs are opened, and the pages of MLflow that show more: addresses by title."""
    lines = [f"- {name} UI: `{command}`, then {url}" for name, command, url in UIS]
    return lines + [f"- {told(title)}: {code(url)}" for title, url in links.items()]


def markdown(
    records: list[Record],
    gains: list[Record],
    versions: dict[str, str],
    decision: str,
    origin: dict[str, str],
    links: dict[str, str] | None = None,
) -> str:
    """The report as Markdown; what anybody typed is shown as it is, never as markup."""
    targets = list(dict.fromkeys(record["target"] for record in records))
    ordered = sorted(records, key=lambda record: (targets.index(record["target"]), -record["top1_mean"]))
    choices = dict.fromkeys(map(choice_line, ordered))  # sizes share one
    parts = [
        ["# Models compared"],
        model_table(ordered, versions),
        [f"**{told(decision[0].upper() + decision[1:])}.**"],
        [f"- {told(gain_line(gain))}" for gain in gains],
        [f"- {told(line)}" for line in choices if line],
        measured(records),
        [", ".join(f"{told(key.removeprefix('tagdag.'))} {code(value)}" for key, value in origin.items())],
        ["![accuracy against latency and flops](comparison.png)"],
        ["## Cost by batch"],
        cost_lines(ordered),
        links_lines(links or {}),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def write(
    out: Path,
    records: list[Record],
    gains: list[Record],
    versions: dict[str, str],
    decision: str,
    origin: dict[str, str],
    links: dict[str, str] | None = None,
) -> None:
    """Write report.md, report.html and comparison.png."""
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(records, gains, versions, decision, origin, links)
    plot(out / "comparison.png", records)
    (out / "report.md").write_text(text)
    (out / "report.html").write_text(page("tagdag: models compared", text, out / "comparison.png"))
