"""The report of models as a short text, which `make repro` prints."""

from corpus.pages.markdown import code, table, told
from flows.reports.models import cautions, costs, models, words
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


def _targets(findings: Findings) -> list[list[str]]:
    """A table per target, under its name where there are several."""
    parts = []
    for target in findings.targets:
        if len(findings.targets) > 1:
            parts.append([f"## {told(target)}"])
        parts.append(table(*models.rows(findings, target)))
    return parts


def markdown(findings: Findings) -> str:
    """The text; what anybody typed is shown as it is, never as markup."""
    bound = f" {models.BOUND}" if any(r["duplicates"] for r in findings.records) else ""
    elsewhere = models.elsewhere(findings)
    parts = [
        ["# Models compared"],
        *_targets(findings),
        [_bold(findings.decision.rstrip(".") + ".")],
        [told(elsewhere)] if elsewhere else [],
        [f"- {told(words.gain_line(gain))}" for gain in findings.gains],
        [f"- Warning: {told(each)}" for each in cautions.all_of(findings)],
        [told(models.RULE + bound)],
        table(costs.HEAD, costs.rows(findings.records)),
        [told(costs.measured(findings.records))],
        ["![accuracy against latency and flops](comparison.png)"],
        [REST],
        [origin_line(findings.origin)],
        links_lines(findings.links),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"
