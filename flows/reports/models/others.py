"""Sections of the further tasks: their champion, table, gains and worst classes."""

from corpus.pages.markup import Markup, el, tag
from flows.reports.models import gains, models, scenes, words
from flows.reports.models.classes import ordered
from flows.reports.models.findings import Answers, Findings

WORST = 3  # classes that are named


def worst_classes(answers: Answers) -> str:
    """One sentence: the classes that its best model knows least."""
    named = []
    for index in ordered(answers)[:WORST]:
        mean, low, high = answers.of_class(index)
        ends = words.interval(low, high)
        count = answers.counts[index]
        named.append(f"{answers.classes[index]} {mean:.1f} % ({ends}, n = {count:,})")
    return f"Least known classes of {answers.model}: {'; '.join(named)}."


def sections(findings: Findings) -> dict[str, list[Markup]]:
    """By title."""
    found = {}
    for task in findings.tasks[1:]:
        parts = [*models.of_task(findings, task), *gains.of_task(findings, task)]
        answers = findings.answers.get(task)
        if answers:
            parts.append(el("p", tag(worst_classes(answers), 600)))
        pairs = findings.duplicates.get(task)
        if pairs:
            number = words.counted(len({pair.id for pair in pairs}), "test image")
            parts.append(el("p", f"Seen in the posts too: {number}."))
        for title, inner in scenes.of_task(findings, task).items():
            parts += [el("h3", title), *inner]
        found[f"Task {task}"] = parts
    return found
