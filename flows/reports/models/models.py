"""Section: the table of models, who is champion and why; Markdown has the same cells."""

from typing import Any

from corpus.pages.markup import Markup, el, join, table, tag
from flows.reports.models import words
from flows.reports.models.findings import Findings, Record

RULE = (
    "Intervals are of 95 %, over seeds and test images together: another seed and other images "
    "would give another accuracy (variance components of seeds crossed with images: Brennan 2001, "
    "Generalizability Theory, chapter 3)."
)
ORDER = (
    "The best test accuracy comes first; the challenger is the model of the best validation "
    "accuracy, so that test images choose nothing."
)
BOUND = "Lower bound: test images that the posts show too count as wrong (Mahajan et al. 2018)."
COLUMNS = {
    "mark": "",
    "model": "model",
    "labels": "labels",
    "size": "px",
    "top1": "top-1 % (95 % interval)",
    "bound": "lower bound %",
    "top5": "top-5 %",
    "seeds": "seeds",
    "version": "version",
}
NUMBERS = ("size", "top1", "bound", "top5", "seeds", "version")


def columns(records: list[Record]) -> dict[str, str]:
    """The columns that say something: sizes and labels where there are several."""
    shown = {key: words.several(records, key) for key in ("labels", "size")}
    shown["bound"] = any(record["duplicates"] for record in records)
    return {key: title for key, title in COLUMNS.items() if shown.get(key, True)}


def cells(findings: Findings, record: Record) -> dict[str, str]:
    """The cells of one model, as plain text."""
    return {
        "mark": findings.alias(record),
        "model": words.model(record),
        "labels": words.labels(record["labels"]),
        "size": str(record["size"]),
        "top1": words.top1(record),
        "bound": f"{record['top1_mean_lower_bound']:.1f}",
        "top5": f"{record['top5']:.1f}",
        "seeds": str(len(record["seeds"])),
        "version": findings.versions.get(record["model"], ""),
    }


def rows(findings: Findings, target: str) -> tuple[list[str], list[list[str]]]:
    """(titles, cells) of the models of a target, as plain text."""
    records = findings.of(target)
    shown = columns(records)
    found = []
    for record in records:
        row = cells(findings, record)
        found.append([row[key] for key in shown])
    return list(shown.values()), found


def of_target(findings: Findings, target: str) -> Markup:
    """The table as HTML, champion and challenger marked."""
    shown = [key for key in columns(findings.of(target)) if key != "mark"]
    (_, *head), made = rows(findings, target)
    right = [place for place, key in enumerate(shown) if key in NUMBERS]
    return table(head, [_marked(row) for row in made], right)


def _marked(row: list[str]) -> list[Any]:
    mark, name, *others = row
    named = join([tag(name, 80), " ", el("mark", mark)]) if mark else tag(name, 80)
    return [named, *(tag(cell, 80) for cell in others)]


def elsewhere(findings: Findings) -> str:
    """Where the champion is a model of an earlier run: what is known of it."""
    champion = findings.leaders.get("champion")
    if champion is None or champion.version in findings.versions.values():
        return ""
    told = f"version {champion.version}, {champion.model}"
    if champion.top1 is not None:
        ends = words.interval(champion.low, champion.high)
        told += f", top-1 {champion.top1:.1f} % ({ends})"
    return f"The champion is a model of an earlier run: {told}."


def section(findings: Findings) -> list[Markup]:
    """What was decided, and the table of the target that decides."""
    decision = findings.decision[:1].upper() + findings.decision[1:]
    parts = [el("p", el("b", tag(decision.rstrip(".") + ".", 400)))]
    told = elsewhere(findings)
    if told:
        parts.append(el("p", tag(told, 300)))
    parts.append(of_target(findings, findings.targets[0]))
    bound = f" {BOUND}" if any(r["duplicates"] for r in findings.first) else ""
    return [*parts, el("p", f"{ORDER} {RULE}{bound}", class_="soft")]
