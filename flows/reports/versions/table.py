"""Sections of all versions: their table, and accuracy against cost."""

from collections.abc import Iterable
from typing import Any

from corpus.pages.markup import Markup, el, join, short, table, tag
from flows.measuring.headline import USUAL
from flows.reports.models import scatter
from flows.reports.models.origin import WEB
from flows.reports.versions.findings import Findings, Version

HEAD = (
    *("version", "model", "{} (95 % interval)", "p50 ms", "images/s", "multiply-adds M"),
    *("params M", "MiB", "test split", "data, commit", "registered (UTC), by"),
)
NUMBERS = range(3, 8)
COLOURS = {"champion": 1, "challenger": 2}  # of the style sheet; others have the first
AXES = (
    ("latency_p50_ms", "latency of one image, p50 (ms)", 1),
    ("flops", "multiply-adds (millions)", 1e6),
)
NOTE = (
    "Orange: champion, green: challenger. The upright line is the 95 % interval, the dotted one "
    "joins the versions that no other beats in both. Point at a mark for its name."
)
UNKNOWN = "-"


def cost(version: Version, key: str, unit: float = 1, digits: int = 1) -> str:
    """A cost in words; one that a busy machine may have stretched says so."""
    value = version.cost(key)
    if value is None:
        return UNKNOWN
    loud = key == "latency_p50_ms" and version.busy
    return f"{value / unit:.{digits}f}" + (" (busy)" if loud else "")


def number(version: Version, unit: bool = False) -> str:
    """`55.0 (53.1 to 57.0)` of the headline; unit: with its unit."""
    if version.value is None:
        return UNKNOWN
    headline = version.headline
    shown = headline.written if unit else headline.number
    return f"{shown(version.value)} ({headline.interval(*version.ends)})"


def title(versions: Iterable[Version]) -> str:
    """The headlines of versions with their units: `top-1 %`."""
    known = [version.headline.unit_title for version in versions if version.value is not None]
    return " or ".join(dict.fromkeys(known)) or USUAL.unit_title


def _named(version: Version) -> Markup:
    marks = [el("mark", short(alias, 30)) for alias in version.aliases]
    return join([version.number, *marks], " ")


def _code(text: str, letters: int = 8) -> Markup:
    """The first letters of a digest, all of it as tooltip."""
    if not text:
        return el("span", UNKNOWN)
    kept = text[:letters] + ("+" if text.endswith("+changes") else "")
    return el("code", kept, title=short(text, 200))


def cells(version: Version, several: bool = False) -> list[Any]:
    """The row of a version; several: the table has numbers of several units."""
    task, test = version.tested_on
    split = join([tag(task, 24), " ", _code(test)]) if task else UNKNOWN
    return [
        _named(version),
        tag(version.model, 60),
        number(version, several),
        cost(version, "latency_p50_ms", digits=2),
        cost(version, "images_per_second", digits=0),
        cost(version, "flops", 1e6, 2),
        cost(version, "params", 1e6, 2),
        cost(version, "peak_memory_mib"),
        split,
        join([_code(version.tag("data")), _code(version.tag("commit"))], " "),
        join([version.when or UNKNOWN, tag(version.tag("by"), 30)], " "),
    ]


def section(findings: Findings) -> list[Markup]:
    """The table of versions, the newest first."""
    if not findings.versions:
        return [el("p", "There is no version yet: run the stage register.")]
    named = title(findings.versions)
    rows = [cells(version, " or " in named) for version in findings.versions]
    shown = table([each.format(named) for each in HEAD], rows, NUMBERS)
    parts = [el("div", shown, class_="versions")]
    if findings.left_out:
        fix = "name them with --versions"
        parts.append(el("p", f"{findings.left_out:,} more are not shown: {fix}.", class_="soft"))
    return parts


def comparable(findings: Findings) -> list[Version]:
    """The versions tested on the same images as the pair's first, or else as the newest."""
    known = [each for each in findings.versions if each.value is not None and all(each.tested_on)]
    if not known:
        return []
    first = next((each for each in findings.pair or () if each in known), known[0])
    return [each for each in known if each.tested_on == first.tested_on]


def _point(version: Version, key: str, unit: float) -> scatter.Point | None:
    value = version.cost(key)
    if value is None:
        return None
    low, high = (version.value if end is None else end for end in version.ends)
    colour = next((COLOURS[alias] for alias in version.aliases if alias in COLOURS), 0)
    name = (
        f"{version.title}, {short(version.model, 80)}: {number(version, True)}, "
        f"{cost(version, 'latency_p50_ms', digits=2)} ms, {cost(version, 'flops', 1e6, 2)} M"
    )
    loud = key == "latency_p50_ms" and version.busy
    place = (value / unit, version.value, low, high, colour)
    return scatter.Point(name, *place, loud=loud)


def tradeoff(findings: Findings) -> list[Markup]:
    """The headline over latency and over multiply-adds, of the versions that can be compared."""
    versions, plots = comparable(findings), []
    headline = versions[0].headline if versions else USUAL
    for key, label, unit in AXES:
        # champion and challenger last: on top
        ordered = sorted(versions, key=lambda each: bool(each.aliases))
        points = [_point(each, key, unit) for each in ordered]
        drawn = [point for point in points if point]
        if drawn:
            plots.append(
                el("figure", scatter.picture(drawn, label, headline.axis, headline.higher))
            )
    if not plots:
        return []
    split = f"Tested on {versions[0].tested_on[0]}, split {versions[0].tested_on[1]}."
    left = len(findings.versions) - len(versions)
    rest = f" {left} of other test splits, or without numbers, are left out." if left else ""
    devices = {version.tag("device") for version in versions}
    note = " Latencies were measured on several devices." if len(devices) > 1 else ""
    told = f"{split}{rest}{note}"
    pair = el("div", *plots, class_="pair")
    return [el("p", tag(told, 400)), pair, el("p", NOTE, class_="soft")]


def address(url: str) -> Markup:
    """Where the registry is; a link only to the web."""
    if url.startswith(WEB):
        return el("a", short(url, 120), href=url, rel="noreferrer noopener")
    return el("code", short(url, 200))
