"""The page of versions as a file, and a short text of it for Prefect."""

from collections.abc import Sequence
from pathlib import Path

from corpus.pages.markdown import table, told
from flows.reports.versions import cautions, pair
from flows.reports.versions.findings import Findings
from flows.reports.versions.page import page
from flows.reports.versions.reading import read
from flows.reports.versions.table import cost, number, title

HEAD = ["version", "alias", "model", "{} (95 % interval)", "p50 ms", "multiply-adds M"]
ROWS = 15  # of the text


def text(findings: Findings) -> str:
    """The newest versions, and what the paired test says of champion and challenger."""
    rows, named = [], title(findings.versions)
    for version in findings.versions[:ROWS]:
        costs = cost(version, "latency_p50_ms", digits=2), cost(version, "flops", 1e6, 2)
        aliases = ", ".join(version.aliases)
        shown = number(version, " or " in named)
        rows.append([version.number, aliases, version.model, shown, *costs])
    parts = [
        [f"# Versions of {told(findings.name)}"],
        table([each.format(named) for each in HEAD], rows),
    ]
    if findings.pair:
        one, other = findings.pair
        outcome = pair.outcome(findings)
        parts.append([told(f"{one.title} against {other.title}: {outcome}")])
    parts += [[f"- Warning: {told(each)}"] for each in cautions.all_of(findings)]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def write(
    file: Path, name: str, wanted: Sequence[str] = (), compared: Sequence[str] = ()
) -> Findings:
    """Write the page of a registered model; what it tells.

    Raises ValueError where the model, or a version that was named, is not there.
    """
    findings = read(name, wanted, compared)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(findings), encoding="utf-8", newline="\n")
    return findings
