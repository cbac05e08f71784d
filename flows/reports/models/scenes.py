"""Sections of tasks whose networks find objects, or tell the class of each pixel: curves, classes,
errors, calibration and images, of the model that is looked into.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corpus.pages.charts import COLOURS, Chart, Series, figure
from corpus.pages.markup import Markup, el, table, tag
from flows.reports.models import words
from flows.reports.models.bars import Range, Row, bars
from flows.reports.models.findings import Findings
from flows.reports.models.sceneerrors import calibration, errors, taken_for
from flows.reports.models.sceneimages import examples
from flows.reports.models.scenetold import (
    BY_CLASS,
    OTHERS,
    Told,
    class_rows,
    common_classes,
    first_of_each,
    mean_curve,
    name_of,
    told_of,
)

WHOLE = Range(0.0, 100.0)
OPEN, MOST = 25, 400  # classes shown at once, and at all
AREAS = {
    "small": "small, below 32 x 32 px",
    "medium": "medium, to 96 x 96 px",
    "large": "large",
}
# how to read the numbers of maps
NUMBERS = {
    "panoptic": "In percent. PQ is SQ times RQ (Kirillov et al. 2019), means over classes: SQ is "
    "the mean overlap (IoU) of the segments that are found, RQ how many are, with those made up "
    "and those missed counted by half.",
    "semantic": "In percent. mIoU: pixels found of a class over all that are it or are taken for "
    "it, the mean over classes; accuracy: the share of pixels that are right; macc: its mean over "
    "classes.",
    "objects": "",
}


def of_task(findings: Findings, task: str) -> dict[str, list[Markup]]:
    """The sections of a task by their titles; none where it is no task of scenes."""
    models = told_of(findings, task)
    if not models:
        return {}
    one = models[0]
    first = "Precision and recall" if one.kind == "objects" else "Numbers"
    return {
        first: [*_who(findings, one), *curves(models), *sizes(one)],
        "Quality by class": by_class(one),
        "What is wrong": [*errors(one), *taken_for(one)],
        "Scores and precision": calibration(one),
        "Images": images(models, findings.scene_pictures.get(task, {})),
    }


def alone(one: Told) -> list[Markup]:
    """The sections of a model by itself, without its images."""
    wrong = [*errors(one), *taken_for(one), *calibration(one)]
    return [*curves([one]), *sizes(one), *by_class(one), *wrong]


def _who(findings: Findings, one: Told) -> list[Markup]:
    alias = findings.alias(one.record)
    rank = f"the {alias}" if alias else "the best on validation"
    seeds = words.counted(len(one.seeds), "seed")
    return [el("p", tag(f"Shown is {rank}: {words.model(one.record)}; {seeds}.", 300))]


def curves(models: Sequence[Told]) -> list[Markup]:
    """Precision over recall of the first model, and of all models beside each other."""
    if models[0].seeds[0].get("picture") is None:
        return []
    names = [each["name"] for each in models[0].seeds[0]["picture"]["series"]]
    lines = [Series(name, *mean_curve(models[0], name)) for name in names]
    told = (
        "Of all detections down to some score: which share of the objects they find (recall) and "
        "which share of them is right (precision), the mean over classes and seeds. Up and to the "
        "right is better; average precision is the area below. IoU: the overlap from which on an "
        "object counts as found."
    )
    axes = ("recall (%)", "precision (%)")
    drawn = [figure(Chart("precision_recall", *axes, lines, told, log=False))]
    if len(models) > 1:
        some = models[:COLOURS]
        several = [Series(words.model(m.record), *mean_curve(m, names[-1])) for m in some]
        told = f"The models beside each other: {names[-1]}."
        if len(models) > COLOURS:
            told += f" Of {len(models)} models the first {COLOURS}."
        drawn.append(figure(Chart("models", *axes, several, told, log=False)))
    return [el("div", *drawn, class_="pair")]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, least, most) over seeds."""
    return float(np.mean(values)), min(values), max(values)


def _bar(name: Any, values: Sequence[float], more: str = "") -> Row:
    mean, low, high = _spread(values)
    ends = f" ({low:.1f} to {high:.1f})" if len(values) > 1 else ""
    return Row(name, mean, low, high, f"{mean:.1f}{ends}{more}")


def sizes(one: Told) -> list[Markup]:
    """Average precision by size of the objects; of maps the numbers that there are."""
    rows = []
    for area, title in AREAS.items():
        values = [seed["numbers"].get(f"ap_{area}", -1.0) for seed in one.seeds]
        if min(values) >= 0:
            rows.append(_bar(title, values))
    for key, value in one.seeds[0]["numbers"].items():
        if key.startswith("ar") and isinstance(value, float) and value >= 0:
            rows.append(_bar(_recall(key), [seed["numbers"][key] for seed in one.seeds]))
    if not rows:
        return _numbers(one)
    note = (
        "Average precision (%) of objects by their area, and average recall (%): the share of "
        "objects that is found, the mean over overlaps of 0.5 to 0.95. The thin line reaches from "
        "the worst to the best seed. A size of which the test split has no object is left out."
    )
    return [el("h3", "By size of the objects"), el("p", note, class_="soft"), bars(rows, WHOLE)]


def _recall(key: str) -> str:
    """`ar10`: `recall of 10 detections an image and class`; `ar_small`: of that size."""
    if "_" in key:
        return f"recall, {key.partition('_')[2]}"
    if not key[2:]:
        return "recall of all detections"
    return f"recall, {words.counted(int(key[2:]), 'detection')} a class and image"


def _numbers(one: Told) -> list[Markup]:
    """The numbers of a metric of maps: mean over seeds, and the ends over them."""
    rows = []
    for key, value in one.seeds[0]["numbers"].items():
        if isinstance(value, float) and not key.endswith(("_low", "_high")):
            mean, low, high = _spread([seed["numbers"][key] for seed in one.seeds])
            rows.append([key.replace("_", " "), f"{mean:.1f}", f"{low:.1f} to {high:.1f}"])
    head = ["number", "mean of seeds", "from the worst to the best seed"]
    return [table(head, rows, (1, 2)), el("p", NUMBERS[one.kind], class_="soft")] if rows else []


def by_class(one: Told) -> list[Markup]:
    """A bar for each class, the worst first."""
    key, noun, count, unit = BY_CLASS[one.kind]
    by_seed = [class_rows(seed, key) for seed in one.seeds]
    common = common_classes(by_seed)
    found = []
    for label in common:
        more = ""
        if count:
            more = f", {words.counted(int(by_seed[0][label][count]), unit)}"
        found.append(_bar(tag(name_of(one, label)), [rows[label][key] for rows in by_seed], more))
    found.sort(key=lambda row: row.value)
    absent = [name for place, name in enumerate(one.names) if place not in common]
    told = f"{noun[0].upper()}{noun[1:]} (%) of each class, the worst first; the thin line "
    told += "reaches from the worst to the best seed."
    if absent:
        told += f" In the test split there is nothing of {words.listed(absent)}."
    parts = [el("p", tag(told, 600), class_="soft"), bars(found[:OPEN], WHOLE)]
    if len(found) > OPEN:
        summary = el("summary", f"{len(found) - OPEN:,} more classes")
        parts.append(el("details", summary, bars(found[OPEN:MOST], WHOLE)))
    return parts


def images(models: Sequence[Told], pictures: Mapping[str, bytes]) -> list[Markup]:
    """The best, the typical and the worst images of the first model, and some of further ones."""
    one = models[0]
    quality = one.seeds[0]["quality"]
    note = (
        f"Test images of the seed that is registered: the best, those nearest to the median, and "
        f"the worst, by the {quality['is']}. "
    )
    if one.kind == "objects":
        note += (
            "Left what is true, right what is found from the score of the highest F1 on. Blue: "
            "found; orange, dashed: missed, or wrong and in which way; grey, dotted: ignored."
        )
    else:
        note += (
            "A colour for each class, white lines between segments, orange: pixels of a wrong "
            "class; pixels whose class is not known are left out."
        )
    drawn = examples(one.details["examples"], one.kind, one.names, pictures)
    parts = [el("p", note), *drawn]
    for other in models[1 : 1 + OTHERS]:
        some = first_of_each(other.details["examples"])
        inner = examples(some, other.kind, other.names, pictures)
        parts.append(el("details", el("summary", tag(words.model(other.record), 100)), *inner))
    return parts
