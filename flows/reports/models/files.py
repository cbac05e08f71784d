"""The report of models: a page (report.html), a short text that `make repro` prints, a picture and
a table of all tasks (matrix.csv)."""

from collections.abc import Sequence
from pathlib import Path

from flows.reports.models import matrix
from flows.reports.models.outcome import Outcome
from flows.reports.models.page import page
from flows.reports.models.plots import plot
from flows.reports.models.reading import read
from flows.reports.models.text import markdown


def write(
    out: Path,
    outcomes: Sequence[Outcome],
    origin: dict[str, str],
    links: dict[str, str] | None = None,
) -> None:
    """Write report.md, report.html, comparison.png and matrix.csv.

    What else the page shows is read from the stages' outputs.
    """
    out.mkdir(parents=True, exist_ok=True)
    findings = read(outcomes, origin, links)
    plot(out / "comparison.png", findings.first)
    matrix.write(out / matrix.FILE, findings.records, findings.gains)
    (out / "report.md").write_text(markdown(findings), encoding="utf-8", newline="\n")
    (out / "report.html").write_text(page(findings), encoding="utf-8", newline="\n")
