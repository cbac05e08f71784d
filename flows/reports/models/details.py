"""What MLflow shows of one model beside its numbers: tables and a page, in its run's artifacts.

classes.csv, confusion.csv and calibration.csv are shown there as tables, model.html as a page. The
accuracy on each class and the calibration error are metrics, which MLflow compares and plots. Of
tasks of scenes precision_recall.csv is in the place of calibration.csv.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpus.pages.charts import figure
from corpus.pages.markup import document, el, tag
from flows.measuring.details import read
from flows.reports.models import calibration, classes, confusion, scenes, scenetold
from flows.reports.models.bars import bars
from flows.reports.models.findings import Answers
from flows.reports.models.tables import answered
from flows.running import settings

METRICS = 200  # classes with a metric of their own


def _table(file: Path, head: list[str], rows: Iterable[list[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows([head, *rows])


def _plain(name: str) -> str:
    """A name that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name


def write_tables(folder: Path, answers: Answers) -> None:
    """Accuracy by class, the worst first; answers by true class and guess; the bins of scores."""
    names = [_plain(name) for name in answers.classes]
    rows = []
    for index in classes.ordered(answers):
        found = [round(value, 3) for value in answers.of_class(index)]
        rows.append([names[index], int(answers.counts[index]), *found])
    _table(folder / "classes.csv", ["class", "test images", "top1 %", "low", "high"], rows)
    counts = [[name, *row] for name, row in zip(names, answers.confusion.tolist(), strict=True)]
    _table(folder / "confusion.csv", ["class \\ answer", *names], counts)
    found = calibration.reliability(answers.scores, answers.hits)
    bins = zip(found.score.round(2), found.right.round(2), found.answers, strict=True)
    head = ["mean score %", "right %", "answers of all seeds"]
    _table(folder / "calibration.csv", head, map(list, bins))


def page(answers: Answers) -> str:
    """Confusion, accuracy by class and calibration of one model."""
    found = calibration.reliability(answers.scores, answers.hits)
    chart = figure(calibration.chart(answers, found))
    rows = [classes.row(answers, index) for index in classes.ordered(answers)[: classes.MOST]]
    parts = [el("h1", tag(answers.model, 100))]
    if len(answers.classes) > 1:
        drawn = el("div", confusion.heat_map(answers), class_="scroll heat")
        parts += [el("h2", "Confusion"), el("p", confusion.NOTE), drawn]
    parts += [el("h2", "Accuracy by class"), bars(rows, classes.WHOLE)]
    return document(f"tagdag: {answers.model}", *parts, el("h2", "Calibration"), chart)


def numbers(answers: Answers) -> dict[str, float]:
    """Metrics by name: the calibration error and the accuracy on each class, in percent."""
    found = {"calibration_error": calibration.reliability(answers.scores, answers.hits).error}
    for index in classes.ordered(answers)[:METRICS]:
        found[f"class_top1/{answers.classes[index]}"] = answers.of_class(index).mean
    return found


def write_scenes(folder: Path, one: scenetold.Told) -> dict[str, float]:
    """Likewise of a model of scenes: classes.csv, precision_recall.csv, confusion.csv, model.html;
    its metrics are the numbers of the classes."""
    head, rows = scenetold.class_table(one)
    _table(folder / "classes.csv", head, ([_plain(name), *cells] for name, *cells in rows))
    curve = scenetold.curve_table(one)
    if curve:
        _table(folder / "precision_recall.csv", *curve)
    names = [*map(_plain, one.names), scenetold.NOTHING]
    counts = scenetold.whole_confusion(one).tolist()
    pairs = zip(names, counts, strict=True)
    _table(folder / "confusion.csv", ["class \\ answer", *names], ([n, *row] for n, row in pairs))
    model = one.record["model"]
    page = document(f"tagdag: {model}", el("h1", tag(model, 100)), *scenes.alone(one))
    (folder / "model.html").write_text(page, encoding="utf-8", newline="\n")
    return {f"class_{head[1]}/{name}": mean for name, mean, *_ in rows[:METRICS]}


def write(folder: Path, model: str, task: str) -> dict[str, float]:
    """Write all files of a model that stage evaluate has asked; its metrics.

    None of a model that was not asked, or whose samples have no class each.
    """
    answers = answered(model, task)
    if answers is None:
        found = read(settings.OUT / "evaluate" / task)
        one = scenetold.told(found, {"model": model})
        return write_scenes(folder, one) if one else {}
    write_tables(folder, answers)
    (folder / "model.html").write_text(page(answers), encoding="utf-8", newline="\n")
    return numbers(answers)
