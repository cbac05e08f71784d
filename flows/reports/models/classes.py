"""Section: the accuracy on each class, the worst first."""

from corpus.pages.markup import Markup, el, tag
from flows.reports.models import words
from flows.reports.models.bars import Range, Row, bars
from flows.reports.models.findings import Answers, Findings

OPEN, MOST = 25, 400  # classes shown at once, and at all
WHOLE = Range(0.0, 100.0)


def ordered(answers: Answers) -> list[int]:
    """The classes that have test images, the worst first; of equal ones the one with more."""
    found = [index for index, count in enumerate(answers.counts) if count]
    right = {index: answers.hits[:, answers.labels == index].mean() for index in found}
    return sorted(found, key=lambda index: (right[index], -answers.counts[index], index))


def row(answers: Answers, index: int) -> Row:
    """A class with its accuracy in percent and how many test images that stands on."""
    mean, low, high = answers.of_class(index)
    told = f"{mean:.1f} ({words.interval(low, high)}), n = {answers.counts[index]:,}"
    return Row(tag(answers.classes[index]), mean, low, high, told)


def of_model(findings: Findings) -> str:
    """Whose answers these sections show."""
    record, alias = findings.shown, findings.alias(findings.shown)
    seeds = words.counted(len(record["seeds"]), "seed")
    rank = f"the {alias}" if alias else "the best on validation"
    return f"Shown is {rank}: {words.model(record)}; {seeds}."


def section(findings: Findings) -> list[Markup]:
    """A bar with interval per class."""
    answers = findings.answers.get(findings.tasks[0])
    if answers is None:
        return []
    places = ordered(answers)
    rows = [row(answers, index) for index in places[:MOST]]
    told = f"{of_model(findings)} The thin line is the 95 % interval, n the number of test images."
    parts = [el("p", tag(told, 300)), bars(rows[:OPEN], WHOLE)]
    if len(rows) > OPEN:
        left = len(places) - MOST
        more = f" (the {left:,} best are left out)" if left > 0 else ""
        title = el("summary", f"{len(rows) - OPEN:,} more classes{more}")
        parts.append(el("details", title, bars(rows[OPEN:], WHOLE)))
    return parts
