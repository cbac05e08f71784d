"""Section: which hyper-parameters were chosen, and among which."""

from corpus.pages.markup import Markup, el, tag
from flows.reports.models import words
from flows.reports.models.findings import Findings, Record

NOTE = (
    "Each value was tried once on a part of the training labels and scored on the rest; the "
    "networks were then trained on all labels with the best (Mahajan et al. 2018, section 3). "
    "Test images have no say in it."
)


def lines(records: list[Record]) -> list[str]:
    """A sentence per choice; sizes share one."""
    return [line for line in dict.fromkeys(map(words.choice_line, records)) if line]


def section(findings: Findings) -> list[Markup]:
    """The choices of the first task's models."""
    told = lines(findings.first)
    if not told:
        return []
    return [el("p", NOTE), el("ul", *(el("li", tag(line, 500)) for line in told))]
