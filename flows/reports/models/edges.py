"""Best values that lie at the edge of what was tried: a better one may lie beyond."""

from collections.abc import Iterator
from typing import Any

from flows.measuring.headline import Headline, of_record
from flows.reports.models import words
from flows.reports.models.findings import Findings, Record
from flows.searching.trials import is_number

LEAST = {"k": 1}  # below which there is nothing to try; of all other keys zero
WORDS = {"smallest": "smaller", "largest": "larger"}


def edge(scores: list[Record], chosen: Any, key: str, headline: Headline) -> str:
    """`smallest` or `largest` where the chosen value of a key is that of those tried, else nothing.

    It is none where an inner value scored as well, or where there is nothing beyond.
    """
    tried = sorted({score[key] for score in scores if is_number(score.get(key))})
    if len(tried) < 2 or not is_number(chosen) or chosen not in (tried[0], tried[-1]):
        return ""
    if chosen == tried[0] and chosen <= LEAST.get(key, 0):
        return ""
    sound = [score for score in scores if not score.get("diverged")]
    best = headline.best(score["score"] for score in sound if score[key] == chosen)
    inner = [score["score"] for score in sound if score.get(key) in tried[1:-1]]
    if inner and not headline.better(best, headline.best(inner)):
        return ""
    return "largest" if chosen == tried[-1] else "smallest"


def told(findings: Findings) -> Iterator[str]:
    """A sentence per key and edge, with the models that it was best for."""
    found: dict[tuple[str, Any, str], list[str]] = {}
    for record in findings.first:
        for key, value in words.values(record["chosen"]).items():
            which = edge(record["scores"], value, key, of_record(record))
            if which:
                found.setdefault((key, value, which), []).append(words.model(record))
    for (key, value, which), models in found.items():
        named = words.listed(list(dict.fromkeys(models)), 3, "; ")
        yield (
            f"{words.setting(key)} = {value} is the {which} that was tried and the best for "
            f"{named}: a better one may lie beyond; add {WORDS[which]} ones to {key} in "
            f"tasks.{findings.tasks[0]}.grid."
        )
