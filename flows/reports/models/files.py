"""The report of models: a page (report.html), a short text that `make repro` prints, a picture."""

from pathlib import Path
from typing import Any

from flows.reports.models.page import page
from flows.reports.models.plots import plot
from flows.reports.models.reading import read
from flows.reports.models.text import markdown


def write(
    out: Path,
    records: list[dict[str, Any]],
    gains: list[dict[str, Any]],
    versions: dict[str, str],
    decision: str,
    origin: dict[str, str],
    links: dict[str, str] | None = None,
    leaders: dict[str, Any] | None = None,
) -> None:
    """Write report.md, report.html and comparison.png.

    leaders: versions of MLflow's registry by alias. What else the page shows is read from the
    stages' outputs.
    """
    out.mkdir(parents=True, exist_ok=True)
    findings = read(records, gains, versions, decision, origin, links, leaders)
    plot(out / "comparison.png", findings.first)
    (out / "report.md").write_text(markdown(findings), encoding="utf-8", newline="\n")
    (out / "report.html").write_text(page(findings), encoding="utf-8", newline="\n")
