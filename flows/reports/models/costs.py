"""Section: what a network costs, once per network: models that differ in weights only share it."""

from typing import Any

from corpus.pages.markup import Markup, el, table, tag
from flows.reports.models import words
from flows.reports.models.findings import Findings, Record

HEAD = [
    "network",
    "params M",
    "multiply-adds M",
    "activations M",
    "p50 / p95 / p99 ms",
    "images/s",
    "MiB",
]
VIDEOS = ["network", "clip, frames x px", "views of a video", "ms a video"]
SCENES = [
    "network",
    "canvas px",
    "p50 / p95 / p99 ms",
    "of it the backbone, p50 ms",
    "found in an image",
]
BATCHES = ["network", "work", "batch", "p50 / p95 / p99 ms", "images/s", "MiB"]
BUSY = "busy: other work took the processors while this was measured, it may be too slow"


def networks(records: list[Record]) -> list[list[Record]]:
    """The records of each network, in their order."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record["network"], []).append(record)
    return list(found.values())


def names(found: list[list[Record]]) -> list[str]:
    """The networks by what they are used for; as evaluate calls them where that is ambiguous."""
    short = []
    for shared in found:
        heads = " or ".join(dict.fromkeys(words.head(record) for record in shared))
        short.append(f"{shared[0]['candidate']}, {heads}, {shared[0]['size']} px")
    pairs = zip(short, found, strict=True)
    return [name if short.count(name) == 1 else shared[0]["network"] for name, shared in pairs]


def latencies(cost: Record) -> str:
    """The percentiles of a time in ms, and whether other work took the processors meanwhile."""
    times = " / ".join(f"{cost[f'latency_p{p}_ms']:.1f}" for p in (50, 95, 99))
    return f"{times} (busy)" if cost.get("busy") else times


def rows(records: list[Record]) -> list[list[str]]:
    """The cells of each network, as plain text."""
    found, groups = [], networks(records)
    for name, (one, *_) in zip(names(groups), groups, strict=True):
        digits = {"params": 2, "flops": 1, "acts": 2}
        sizes = [f"{one[key] / 1e6:.{number}f}" for key, number in digits.items()]
        speed, memory = f"{one['images_per_second']:.0f}", f"{one['peak_memory_mib']:.1f}"
        found.append([name, *sizes, latencies(one), speed, memory])
    return found


def by_batch(records: list[Record]) -> list[list[str]]:
    """What each network costs per batch, in use and in training."""
    found, groups = [], networks(records)
    for name, (one, *_) in zip(names(groups), groups, strict=True):
        found += [[name, *_cells(cost)] for cost in one["costs"]]
    return found


def _cells(cost: Record) -> list[str]:
    batch, asked = cost["batch"], cost["asked"]
    ran_out = f" (memory ran out at {asked})" if batch < asked else ""
    speed, memory = f"{cost['images_per_second']:.0f}", f"{cost['peak_memory_mib']:.1f}"
    return [cost["mode"], f"{batch}{ran_out}", latencies(cost), speed, memory]


def by_video(records: list[Record]) -> list[list[str]]:
    """What each network of clips costs per video: one view after the other, as it is tested."""
    found, groups = [], networks(records)
    for name, (one, *_) in zip(names(groups), groups, strict=True):
        if "input" in one:
            _, frames, *sides = one["input"]
            clip = f"{frames} x {' x '.join(map(str, sides))}"
            whole = one.get("latency_video_p50_ms", one["latency_p50_ms"])
            found.append([name, clip, str(one.get("views", 1)), f"{whole:.1f}"])
    return found


def by_size(records: list[Record]) -> list[list[str]]:
    """What each network of scenes costs per image, of the size that it is tested at."""
    found, groups = [], networks(records)
    for name, (one, *_) in zip(names(groups), groups, strict=True):
        if one.get("post_processing"):
            height, width = one["latency_canvas"]
            backbone, number = one["latency_backbone_p50_ms"], one["found_per_image"]
            canvas = f"{width} x {height}"
            # of pixels no object is found
            objects = f"{number:.1f}" if number else "-"
            found.append([name, canvas, latencies(one), f"{backbone:.1f}", objects])
    return found


def measured(records: list[Record]) -> str:
    """How the costs came about."""
    first = records[0]
    clips = " Where a network reads clips, an image stands for a clip."
    note = clips if any("input" in record for record in records) else ""
    if any(record.get("post_processing") for record in records):
        note += (
            " Of networks that find objects, or classes of pixels, the costs are of test images, "
            "all that comes after the network counted: latency of one after the other, each on a "
            "canvas of its own, batches on one canvas that holds all of them."
        )
    where = f"{first['device']} by {first['clock']}, {first['dtype']}"
    return (
        f"Measured on {where}: latency of one image, images per second and memory at a batch of "
        f"{first['batch']}. A multiply-add counts once.{note}"
    )


def _named(row: list[str]) -> list[Any]:
    return [tag(row[0], 100), *row[1:]]


def section(findings: Findings) -> list[Markup]:
    """A row per network, and per batch where asked for."""
    records = findings.records
    parts = [table(HEAD, map(_named, rows(records)), range(1, len(HEAD)))]
    reasons = dict.fromkeys(record["busy"] for record in records if record.get("busy"))
    note = measured(records)
    if reasons:
        named = "; ".join(reason for reason in reasons if isinstance(reason, str))
        note += f" {BUSY[0].upper()}{BUSY[1:]}" + (f" ({named})." if named else ".")
    parts.append(el("p", tag(note, 600), class_="soft"))
    videos = by_video(records)
    if videos:
        parts.append(table(VIDEOS, map(_named, videos), range(1, len(VIDEOS))))
    scenes = by_size(records)
    if scenes:
        parts.append(table(SCENES, map(_named, scenes), range(1, len(SCENES))))
    batches = by_batch(records)
    if batches:
        inner = table(BATCHES, map(_named, batches), range(2, len(BATCHES)))
        parts.append(el("details", el("summary", "By batch, in use and in training"), inner))
    return parts
