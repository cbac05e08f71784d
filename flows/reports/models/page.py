"""The report of models for people: one HTML page that needs neither network nor script.

Names of classes, models, devices and ids are strangers' text: corpus.pages.markup escapes all of
it, and the page forbids scripts.
"""

from typing import Any

from corpus.pages.markup import Markup, el, join, tag
from corpus.pages.page import Section, sectioned
from flows.measuring.headline import of_record
from flows.reports.models import (
    calibration,
    cautions,
    choices,
    classes,
    confusion,
    costs,
    curves,
    gains,
    matrix,
    mistakes,
    models,
    origin,
    others,
    scenes,
    tradeoff,
    words,
)
from flows.reports.models.findings import Findings

SECTIONS = {  # in the order of the page; one without content is left out
    "Models": models.section,
    "All tasks": matrix.section,
    "Gain of pretraining": gains.section,
    "{} against cost": tradeoff.section,
    "Accuracy by class": classes.section,
    "Confusion": confusion.section,
    "Calibration": calibration.section,
    "Worst mistakes": mistakes.section,
    "Surest right answers": mistakes.best,
    "Duplicates among the test images": mistakes.duplicates,
    "Learning curves": curves.section,
    "Hyper-parameters": choices.section,
    "Costs": costs.section,
}


def headline(findings: Findings) -> dict[str, Any]:
    """The numbers that count: who leads, how good it is, what pretraining gave, how fast it is."""
    record = findings.shown
    alias = findings.alias(record) or "best on validation"
    version = f"version {findings.versions.get(record['model'], '')}"
    found = {alias: _tile(tag(str(record["candidate"]), 30), tag(words.how(record)), version)}
    number = of_record(record)
    ends = number.interval(record["low"], record["high"])
    found[f"{number.title} on the test split"] = _tile(number.written(record["value"]), ends)
    gain = findings.gain_of(record)
    if gain:
        ends = number.interval(gain["gain_low"], gain["gain_high"], "+")
        unit = number.points or number.title
        found[f"{unit} that pretraining gave"] = _tile(number.number(gain["gain"], "+"), ends)
    loud = ["measured on a busy machine"] if record.get("busy") else []
    one = "clip" if "input" in record else "image"
    found[f"latency of one {one}, p50"] = _tile(f"{record['latency_p50_ms']:.1f} ms", *loud)
    found["test images"] = record["samples"]
    return found


def _tile(number: Any, *more: Any) -> Markup:
    """A number, and below it in small what belongs to it."""
    return join([number, *(el("small", each) for each in more)])


def page(findings: Findings) -> str:
    """The whole HTML document."""
    noun = findings.headline(findings.tasks[0]).noun
    noun = noun[:1].upper() + noun[1:]
    own = scenes.of_task(findings, findings.tasks[0])
    made = {}
    for title, section in SECTIONS.items():
        made[title.format(noun)] = section(findings)
        if section is tradeoff.section:
            made |= own
    made |= others.sections(findings)
    made["Settings and origin"] = origin.section(findings)
    sections = [Section(tag(title), parts) for title, parts in made.items()]
    task = el("p", "On the task ", el("b", tag(findings.tasks[0])))
    title, numbers = "tagdag: models compared", headline(findings)
    warnings = cautions.all_of(findings)
    return sectioned(title, "Models", numbers, sections, warnings, intro=[task])
