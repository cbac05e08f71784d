"""Sections of tasks whose networks find objects, or tell the class of each pixel: curves, classes,
errors, calibration and images, of the model that is looked into.

What they show was left by the stage evaluate (flows/measuring/details.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from corpus.pages.charts import COLOURS, Chart, Series, figure
from corpus.pages.markup import Markup, el, table, tag
from flows.reports.models import confusion, words
from flows.reports.models.bars import Range, Row, bars
from flows.reports.models.findings import Findings, Record, shown
from flows.reports.models.sceneimages import examples

WHOLE = Range(0.0, 100.0)
OPEN, MOST = 25, 400  # classes shown at once, and at all
OTHERS = 4  # further models that images are shown of
NOTHING = "nothing"
AREAS = {
    "small": "small, below 32 x 32 px",
    "medium": "medium, to 96 x 96 px",
    "large": "large",
}
# what is told of each class: the number, what it is of, of what there are so many
BY_CLASS = {"objects": ("ap", "average precision", "truths", "object")}
BY_CLASS |= {"semantic": ("iou", "IoU", "pixels", "pixel")}
BY_CLASS |= {"panoptic": ("pq", "panoptic quality", "", "")}
KINDS = {
    "found": "of the right class, an overlap of 0.5 or more with an object that is free",
    "duplicate": "as found, of an object that a surer detection has found",
    "poorly placed": "of the right class, an overlap of 0.1 to 0.5",
    "wrong class": "an overlap of 0.5 or more with an object of another class",
    "wrong class and place": "an overlap of 0.1 to 0.5 with an object of another class",
    "background": "at no object: the overlap is 0.1 or less",
    "ignored": "on a crowd or a difficult object: neither right nor wrong",
}


class Told(NamedTuple):
    """What is known of one model of scenes: the names of classes, its record, its details."""

    names: list[str]
    record: Record
    details: Mapping[str, Any]

    @property
    def seeds(self) -> list[Mapping[str, Any]]:
        """What is known of each."""
        return self.details["by_seed"]

    @property
    def kind(self) -> str:
        """`objects`, `panoptic` or `semantic`."""
        return self.details["kind"]


def told_of(findings: Findings, task: str) -> list[Told]:
    """What is known of the models of a task: of that which is shown first, then the best ones."""
    records = findings.of(task)
    known = findings.details.get(task, {"names": [], "models": {}})
    first = shown(records, [findings.alias(record) for record in records])
    ordered = [first, *(record for record in records if record is not first)]
    models = known["models"]
    return [Told(known["names"], r, models[r["model"]]) for r in ordered if r["model"] in models]


def of_task(findings: Findings, task: str) -> dict[str, list[Markup]]:
    """The sections of a task by their titles; none where it is no task of scenes."""
    models = told_of(findings, task)
    if not models:
        return {}
    one = models[0]
    return {
        "Precision and recall": [*_who(findings, one), *curves(models), *sizes(one)],
        "Quality by class": by_class(one),
        "What is wrong": [*errors(one), *taken_for(one)],
        "Scores and precision": calibration(one),
        "Images": images(models, findings.scene_pictures.get(task, {})),
    }


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
    lines = [Series(name, *_mean_curve(models[0], name)) for name in names]
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
        several = [Series(words.model(m.record), *_mean_curve(m, names[-1])) for m in some]
        told = f"The models beside each other: {names[-1]}."
        if len(models) > COLOURS:
            told += f" Of {len(models)} models the first {COLOURS}."
        drawn.append(figure(Chart("models", *axes, several, told, log=False)))
    return [el("div", *drawn, class_="pair")]


def _mean_curve(one: Told, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(x, y), the mean over seeds."""
    lines = []
    for seed in one.seeds:
        lines += [each for each in seed["picture"]["series"] if each["name"] == name]
    return np.array(lines[0]["x"]), np.mean([each["y"] for each in lines], 0)


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
    return [table(head, rows, (1, 2))] if rows else []


def by_class(one: Told) -> list[Markup]:
    """A bar for each class, the worst first."""
    key, noun, count, unit = BY_CLASS[one.kind]
    by_seed = [_rows(seed, key) for seed in one.seeds]
    common = list(by_seed[0])
    for rows in by_seed[1:]:
        common = [label for label in common if label in rows]
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


def _rows(seed: Mapping[str, Any], key: str) -> dict[int, Mapping[str, Any]]:
    """The rows of a seed by their class, of those that have a number."""
    return {row["class"]: row for row in seed["rows"] if row[key] >= 0}


def name_of(one: Told, label: int) -> str:
    """The name of a class; its number where it has none."""
    return one.names[label] if label < len(one.names) else str(label)


def _mean_of(one: Told, *keys: str) -> float:
    """The mean over seeds of what lies under these keys."""
    values = []
    for seed in one.seeds:
        value: Any = seed
        for key in keys:
            value = value[key]
        values.append(value)
    return float(np.mean(values))


def errors(one: Told) -> list[Markup]:
    """How many detections are wrong in which way, on an average over seeds."""
    if "errors" not in one.seeds[0]:
        return []
    counts = {kind: _mean_of(one, "errors", kind) for kind in KINDS}
    missed = _mean_of(one, "errors", "missed")
    whole = sum(counts.values())
    rows = []
    for kind, number in counts.items():
        rows.append([kind, f"{number:,.1f}", f"{100 * number / max(1, whole):.0f} %", KINDS[kind]])
    what = "segments" if one.kind == "panoptic" else "detections"
    said = [f"What became of the {what} (kinds as in TIDE, Bolya et al. 2020); mean of seeds."]
    if one.kind == "objects":
        least = _mean_of(one, "least")
        said.append(
            f"Those of a score of {least:.2f} or more are counted: the score of the highest F1 on "
            "these images, chosen anew for each seed, so that it flatters."
        )
    objects = counts["found"] + missed
    share = f"{100 * missed / max(1, objects):.0f} %"
    said.append(f"Missed are {missed:,.1f} of {objects:,.1f} true {what} ({share}).")
    if one.kind == "objects":
        said[-1] = said[-1].replace("true detections", "objects")
    head = [what, "number", "share", "that is"]
    return [el("p", " ".join(said)), table(head, rows, (1, 2))]


class _Counts(NamedTuple):
    """What flows/reports/models/confusion.py draws."""

    classes: list[str]
    confusion: np.ndarray


def taken_for(one: Told) -> list[Markup]:
    """The classes of objects, segments or pixels, and what they were taken for."""
    counts = np.array(one.details["confusion"], np.int64)
    size = counts.shape[1]
    # of pixels there is no row for what is at nothing
    whole = np.zeros((size, size), np.int64)
    whole[: len(counts)] = counts
    if not whole.any():
        return []
    answers = _Counts([*one.names, NOTHING], whole)
    rows = []
    for true, guess, number, share in confusion.pairs(answers):
        named = [tag(answers.classes[place]) for place in (true, guess)]
        rows.append([*named, f"{number:,}", f"{share:.0%}"])
    what = {"objects": "objects", "panoptic": "segments", "semantic": "pixels"}[one.kind]
    note = f"A row per true class, a column per class that its {what} were taken for, all seeds. "
    if one.kind != "semantic":
        note += "They belong together by an overlap of 0.5, whatever their classes. "
    note += f"Column {NOTHING}: missed; row {NOTHING}: found where there is none. "
    note += "Blue: right, orange: wrong; the stronger, the larger the share of the row."
    left = len(answers.classes) - confusion.MOST
    if left > 0:
        note += f" The {left:,} classes of the fewest mistakes are left out."
    order = confusion.chosen(answers)
    # what is no class comes last
    order = np.append(order[order != size - 1], size - 1)
    drawn = el("div", confusion.heat_map(answers, order), class_="scroll heat")
    parts = [el("figure", drawn, el("figcaption", note))]
    if rows:
        head = ["class", "taken for", what, "of the class"]
        parts.append(el("div", el("h3", "Most often"), table(head, rows, (2, 3))))
    return [el("div", *parts, class_="beside")]


def calibration(one: Told) -> list[Markup]:
    """Precision by score, and whether scores of classes compare."""
    if "calibration" not in one.seeds[0]:
        return []
    line = np.array([0.0, 100.0])
    series = [Series("as it should be", line, line, "dash"), _reliability(one)]
    error = _mean_of(one, "calibration", "error")
    told = (
        f"Of detections of about one score: the share that is right (class, and overlap of 0.5). "
        f"Above the dashed line the model is less sure than it could be, below it too sure. Mean "
        f"distance, weighted by detections (D-ECE, Küppers et al. 2020): {error:.1f} points."
    )
    chart = Chart("calibration", "score (%)", "right (%)", series, told, log=False)
    fixed, pooled = _mean_of(one, "ap_fixed"), _mean_of(one, "ap_pool")
    less = fixed - pooled
    compare = (
        f"Average precision of each class's own ranking (AP-fixed) is {fixed:.1f} %, of one "
        f"ranking of all classes (AP-pool) {pooled:.1f} % (Dave et al. 2021): "
    )
    compare += (
        f"scores of different classes do not compare, which costs {less:.1f} points where one "
        "threshold is used for all."
        if less >= 1
        else "scores of different classes compare, and one threshold serves all."
    )
    return [figure(chart), el("p", compare)]


def _reliability(one: Told) -> Series:
    """The bins of all seeds together."""
    bins: dict[int, np.ndarray] = {}
    for seed in one.seeds:
        found = seed["calibration"]
        for score, right, count in zip(found["score"], found["right"], found["count"], strict=True):
            place = int(np.ceil(score / 100 * 15))
            bins[place] = bins.get(place, np.zeros(3)) + count * np.array([score, right, 1.0])
    points = np.array([bins[place] for place in sorted(bins)]).reshape(-1, 3)
    scores, right = points[:, :2].T / np.maximum(points[:, 2], 1)
    return Series("this model", scores, right, "dots")


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
        some = _first_of_each(other.details["examples"])
        inner = examples(some, other.kind, other.names, pictures)
        parts.append(el("details", el("summary", tag(words.model(other.record), 100)), *inner))
    return parts


def _first_of_each(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One image of each rank."""
    first = {entry["rank"]: entry for entry in reversed(entries)}
    return [entry for entry in entries if first[entry["rank"]] is entry]


def ids_shown(models: Sequence[Told]) -> list[str]:
    """Ids of the images that `images` shows."""
    entries = list(models[0].details["examples"])
    for other in models[1 : 1 + OTHERS]:
        entries += _first_of_each(other.details["examples"])
    return [entry["id"] for entry in entries]
