"""The report of models as a short text, which `make repro` prints."""

from corpus.pages.markdown import code, table, told
from flows.reports.models import cautions, costs, matrix, models, words
from flows.reports.models.findings import Findings
from flows.reports.models.origin import UIS

REST = (
    "report.html beside this text has the rest: accuracy by class, confusion, calibration, the "
    "worst mistakes and surest answers, duplicates, learning curves of all trainings, "
    "hyper-parameters, costs by batch."
)


def _bold(text: str) -> str:
    return f"**{told(text[:1].upper() + text[1:])}**"


def origin_line(origin: dict[str, str]) -> str:
    """Data version, commit and params."""
    parts = (f"{told(key.removeprefix('tagdag.'))} {code(value)}" for key, value in origin.items())
    return ", ".join(parts)


def links_lines(links: dict[str, str]) -> list[str]:
    """How the UIs are opened, and the pages of MLflow that show more: addresses by title."""
    lines = [f"- {name} UI: `{command}`, then {url}" for name, command, url in UIS]
    return lines + [f"- {told(title)}: {code(url)}" for title, url in links.items()]


def _tasks(findings: Findings) -> list[list[str]]:
    """A table and a champion per task, under its name where there are several."""
    parts = []
    for task in findings.tasks:
        if len(findings.tasks) > 1:
            parts.append([f"## {told(task)}"])
        parts.append(table(*models.rows(findings, task)))
        parts.append([_bold(models.decided(findings, task))])
        elsewhere = models.elsewhere(findings, task)
        parts.append([told(elsewhere)] if elsewhere else [])
    return parts


def _matrix(findings: Findings) -> list[list[str]]:
    """All tasks side by side."""
    shown = table(*matrix.rows(findings.records, findings.gains))
    return [["## Candidates and pretrainings on all tasks"], shown, [told(matrix.NOTE)]]


def markdown(findings: Findings) -> str:
    """The text; what anybody typed is shown as it is, never as markup."""
    noun = findings.headline(findings.tasks[0]).noun
    parts = [
        ["# Models compared"],
        *_tasks(findings),
        *_matrix(findings),
        [f"- {told(words.gain_line(gain))}" for gain in findings.gains],
        [f"- Warning: {told(each)}" for each in cautions.all_of(findings)],
        [told(models.rule(findings.records))],
        table(costs.HEAD, costs.rows(findings.records)),
        [told(costs.measured(findings.records))],
        [f"![{told(noun)} against latency and flops](comparison.png)"],
        [REST],
        [origin_line(findings.origin)],
        links_lines(findings.links),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"
