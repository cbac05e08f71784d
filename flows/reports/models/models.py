"""Section: the table of a task's models, who is champion and why; Markdown has the same cells."""

from typing import Any

from corpus.pages.markup import Markup, el, join, table, tag
from flows.measuring.headline import of_record
from flows.reports.models import words
from flows.reports.models.findings import Findings, Record

RULE = (
    "Intervals are of 95 %, over seeds and test images together: another seed and other images "
    "would give another {noun} (variance components of seeds crossed with images: Brennan 2001, "
    "Generalizability Theory, chapter 3)."
)
OTHER_RULE = (
    "Where a number is no mean over test samples, seeds and the metric's own interval tell of "
    "chance; of fewer than three seeds and without such an interval none is told."
)
ORDER = (
    "The best test {noun} comes first; the challenger is the model of the best validation "
    "{noun}, so that test images choose nothing."
)
BOUND = "Lower bound: test images that the posts show too count as wrong (Mahajan et al. 2018)."
COLUMNS = {
    "mark": "",
    "model": "model",
    "labels": "labels",
    "size": "px",
    "value": "{} (95 % interval)",
    "bound": "lower bound %",
}
LAST = {"seeds": "seeds", "version": "version"}
TEXTS = ("mark", "model", "labels")
MORE = 3  # further numbers of the metric that are shown


def further(records: list[Record]) -> list[str]:
    """Further numbers of the metric that have an interval, so that they are in its unit."""
    names = records[0].get("values", {})
    return [name for name in names if f"{name}_low" in names][:MORE]


def columns(records: list[Record]) -> dict[str, str]:
    """The columns that say something: sizes and labels where there are several."""
    headline = of_record(records[0])
    shown = {key: words.several(records, key) for key in ("labels", "size")}
    shown["bound"] = any(record["duplicates"] and "bound" in record for record in records)
    found = {key: title for key, title in COLUMNS.items() if shown.get(key, True)}
    found["value"] = found["value"].format(headline.unit_title)
    for name in further(records):
        found[name] = headline._replace(name=name).unit_title
    return found | LAST


def cells(findings: Findings, record: Record) -> dict[str, str]:
    """The cells of one model, as plain text."""
    headline = of_record(record)
    more = {key: headline.number(value) for key, value in record.get("values", {}).items()}
    return more | {
        "mark": findings.alias(record),
        "model": words.model(record),
        "labels": words.labels(record["labels"]),
        "size": str(record["size"]),
        "value": words.told(record),
        "bound": headline.number(record["bound"]) if "bound" in record else "",
        "seeds": str(len(record["seeds"])),
        "version": findings.versions.get(record["model"], ""),
    }


def rows(findings: Findings, task: str) -> tuple[list[str], list[list[str]]]:
    """(titles, cells) of the models of a task, as plain text."""
    records = findings.of(task)
    shown = columns(records)
    found = []
    for record in records:
        row = cells(findings, record)
        found.append([row.get(key, "") for key in shown])
    return list(shown.values()), found


def table_of(findings: Findings, task: str) -> Markup:
    """The table as HTML, champion and challenger marked."""
    shown = [key for key in columns(findings.of(task)) if key != "mark"]
    (_, *head), made = rows(findings, task)
    right = [place for place, key in enumerate(shown) if key not in TEXTS]
    return table(head, [_marked(row) for row in made], right)


def _marked(row: list[str]) -> list[Any]:
    mark, name, *others = row
    named = join([tag(name, 80), " ", el("mark", mark)]) if mark else tag(name, 80)
    return [named, *(tag(cell, 80) for cell in others)]


def elsewhere(findings: Findings, task: str) -> str:
    """Where the champion of a task is a model of an earlier run: what is known of it."""
    champion = findings.leaders.get(task, {}).get("champion")
    known = [findings.versions.get(record["model"]) for record in findings.of(task)]
    if champion is None or champion.version in known:
        return ""
    told = f"version {champion.version}, {champion.model}"
    if champion.value is not None:
        headline = champion.headline
        ends = headline.interval(champion.low, champion.high)
        told += f", {headline.title} {headline.written(champion.value)} ({ends})"
    return f"The champion is a model of an earlier run: {told}."


def decided(findings: Findings, task: str) -> str:
    """Who is champion of a task and why, as a sentence."""
    decision = findings.decisions[task]
    return (decision[:1].upper() + decision[1:]).rstrip(".") + "."


def rule(records: list[Record]) -> str:
    """How to read the intervals, and the lower bound where there is one."""
    nouns = {of_record(record).noun for record in records}
    shown = [RULE.format(noun=nouns.pop() if len(nouns) == 1 else "number")]
    if any("bound" not in record for record in records):
        shown.append(OTHER_RULE)
    if any(record["duplicates"] and "bound" in record for record in records):
        shown.append(BOUND)
    return " ".join(shown)


def of_task(findings: Findings, task: str) -> list[Markup]:
    """What was decided of a task, and the table of its models."""
    parts = [el("p", el("b", tag(decided(findings, task), 400)))]
    told = elsewhere(findings, task)
    if told:
        parts.append(el("p", tag(told, 300)))
    name = findings.names.get(task)
    if name and len(findings.tasks) > 1:
        parts.append(el("p", "Registered model ", el("b", tag(name, 80)), "."))
    return [*parts, table_of(findings, task)]


def section(findings: Findings) -> list[Markup]:
    """What was decided, and the table of the first task."""
    task = findings.tasks[0]
    order = ORDER.format(noun=findings.headline(task).noun)
    note = el("p", f"{order} {rule(findings.first)}", class_="soft")
    return [*of_task(findings, task), note]
