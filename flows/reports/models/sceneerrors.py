"""What detectors get wrong: in which way, which class for which, at which scores."""

from typing import NamedTuple

import numpy as np

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.markup import Markup, el, table, tag
from flows.reports.models import confusion
from flows.reports.models.scenetold import NOTHING, Told, mean_of, whole_confusion

BINS = 15  # of scores
ALIKE = 0.1  # share of AP by which AP-pool may be less where scores of classes compare
KINDS = {
    "found": "of the right class, an overlap of 0.5 or more with an object that is free",
    "duplicate": "as found, of an object that a surer detection has found",
    "poorly placed": "of the right class, an overlap of 0.1 to 0.5",
    "wrong class": "an overlap of 0.5 or more with an object of another class",
    "wrong class and place": "an overlap of 0.1 to 0.5 with an object of another class",
    "background": "at no object: the overlap is 0.1 or less",
    "ignored": "on a crowd or a difficult object: neither right nor wrong",
}


def errors(one: Told) -> list[Markup]:
    """How many detections are wrong in which way, on an average over seeds."""
    if "errors" not in one.seeds[0]:
        return []
    counts = {kind: mean_of(one, "errors", kind) for kind in KINDS}
    missed = mean_of(one, "errors", "missed")
    whole = sum(counts.values())
    rows = []
    what = "segments" if one.kind == "panoptic" else "detections"
    for kind, number in counts.items():
        share = f"{100 * number / max(1, whole):.0f} %"
        # of maps a detection is a segment, as an object is
        said = KINDS[kind] if one.kind == "objects" else KINDS[kind].replace("object", "segment")
        rows.append([kind, f"{number:,.1f}", share, said])
    said = [f"What became of the {what} (kinds as in TIDE, Bolya et al. 2020); mean of seeds."]
    if one.kind == "objects":
        least = mean_of(one, "least")
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
    whole = whole_confusion(one)
    if not whole.any():
        return []
    size = len(whole)
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
    if not any(seed["calibration"]["count"] for seed in one.seeds):
        return [el("p", "Nothing is found in any test image.")]
    line = np.array([0.0, 100.0])
    series = [Series("as it should be", line, line, "dash"), _reliability(one)]
    error = mean_of(one, "calibration", "error")
    told = (
        f"Of detections of about one score: the share that is right (class, and overlap of 0.5). "
        f"Above the dashed line the model is less sure than it could be, below it too sure. Mean "
        f"distance, weighted by detections (D-ECE, Küppers et al. 2020): {error:.1f} points."
    )
    chart = Chart("calibration", "score (%)", "right (%)", series, told, log=False)
    fixed, pooled = mean_of(one, "ap_fixed"), mean_of(one, "ap_pool")
    less = fixed - pooled
    compare = (
        f"Average precision of each class's own ranking (AP-fixed) is {fixed:.1f} %, of one "
        f"ranking of all classes (AP-pool) {pooled:.1f} % (Dave et al. 2021): "
    )
    compare += (
        f"scores of different classes do not compare, which costs {less:.1f} points where one "
        "threshold is used for all."
        if fixed > 0 and less >= min(1.0, ALIKE * fixed)
        else "scores of different classes compare, and one threshold serves all."
    )
    return [figure(chart), el("p", compare)]


def _reliability(one: Told) -> Series:
    """The bins of all seeds together."""
    bins: dict[int, np.ndarray] = {}
    for seed in one.seeds:
        found = seed["calibration"]
        for score, right, count in zip(found["score"], found["right"], found["count"], strict=True):
            place = int(np.ceil(score / 100 * BINS))
            bins[place] = bins.get(place, np.zeros(3)) + count * np.array([score, right, 1.0])
    points = np.array([bins[place] for place in sorted(bins)]).reshape(-1, 3)
    scores, right = points[:, :2].T / np.maximum(points[:, 2], 1)
    return Series("this model", scores, right, "dots")
