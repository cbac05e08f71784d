"""Who is champion of a task: the challenger, when its interval lies beyond it on the same test.

The end of the interval that counts is the low one where more is better, the high one where less is.
A champion that was tested on another split, or by another metric or policy, is tested again first,
with the weights that the registry keeps. One that cannot be tested stays: to put another in its
place is a person's decision.
"""

import tempfile
from pathlib import Path
from typing import Any

from flows.measuring.headline import of_tags
from flows.measuring.lognumbers import record_numbers
from flows.registry import approval, audit, evidence, modelcard, registry
from flows.registry.aliases import point_alias, version_of_alias
from flows.registry.fetched import fetched_version
from flows.registry.older import tag_number
from flows.running.orchestrate import task
from flows.tracking.outage import is_away

Labels = dict[str, str]
Record = dict[str, Any]


def version_value(labels: Labels) -> float | None:
    """The headline of a version: the mean over its seeds, to which its interval belongs.

    Where only its weights were tested, which are of one seed, theirs.
    """
    return tag_number(labels, "value")


def better(challenger: Labels, value: float) -> tuple[bool, str]:
    """Whether the challenger takes over, and why: its interval lies beyond the champion's number.

    The interval is over seeds and test samples, both numbers are means over seeds.
    """
    headline = of_tags(challenger)
    end = headline.worse_end(tag_number(challenger, "low"), tag_number(challenger, "high"))
    if end is None:
        seeds = challenger.get("tagdag.seeds", "1")
        return False, (
            f"the challenger has no interval to compare: {headline.title} tells none by itself, "
            f"and of {seeds} seeds none can be told; train three or more"
        )
    side, place = ("low", "above") if headline.higher else ("high", "below")
    beyond = headline.better(end, value)
    told = place if beyond else f"not {place}"
    return beyond, (
        f"{side} end {headline.written(end)} of the challenger's interval is {told} the "
        f"champion's {headline.written(value)}"
    )


def retest_champion(name: str, version: Any, challenger: Record) -> float:
    """Test a champion as the challenger was tested and give its version the new numbers.

    Its headline.

    challenger: the record. Raises ValueError that says why it cannot be tested.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights, record = fetched_version(version.tags, Path(folder))
        if record["data"] != challenger["data"]:
            ours, theirs = record["task"], challenger["task"]
            raise ValueError(f"it is a model of {ours!r}, the challenger of {theirs!r}")
        from flows.registry import retest  # torch, which --help and most runs of the stage need not

        shared = ("task", "data", "metric", "policy", "test")
        record |= {key: challenger[key] for key in shared if key in challenger}
        numbers, answers = retest.test_again(weights, record)
    record |= numbers | {"seeds": [record.get("seed") or 0]}  # of the others there are no weights
    labels = modelcard.result_tags(record)
    values = modelcard.unknown(record) | record_numbers(numbers)
    registry.renew_version(name, str(version.version), labels, values, record["data"])
    if version.run_id:
        evidence.keep(version.run_id, record, answers)
    return numbers["value"]


def value_on_same_test(name: str, version: Any, challenger: Record) -> float:
    """The champion's headline on the challenger's test; ValueError says why there is none."""
    from mlflow.exceptions import MlflowException

    known = version_value(version.tags)
    if version.tags.get("tagdag.test") == challenger["test"] and known is not None:
        return known
    try:
        return retest_champion(name, version, challenger)
    # KeyError, TypeError: of a record that lacks what the test reads
    except (MlflowException, OSError, KeyError, TypeError) as error:
        # an outage says nothing of the champion: the stage ends, and is run again
        if is_away(error):
            raise
        cause = str(error)[:200]
        raise ValueError(f"its weights cannot be had from the registry ({cause})") from error


@task
def name_champion(name: str, challenger: str, record: Record) -> str:
    """Set the alias `challenger`, and `champion` when its interval lies beyond; says why.

    record: the challenger's.
    """
    point_alias(name, "challenger", challenger)
    champion = version_of_alias(name, "champion")
    if champion is None:
        audit.crown(name, challenger, audit.AUTOMATIC, "there was no champion")
        return f"champion is now version {challenger}: there was no champion"
    if str(champion.version) == challenger:
        return f"champion stays version {challenger}: it is the best candidate again"
    stays = f"champion stays version {champion.version}, challenger is version {challenger}"
    labels = registry.version_numbered(name, challenger).tags
    try:
        takes_over, why = better(labels, value_on_same_test(name, champion, record))
    except ValueError as error:
        cause = str(error).rstrip(".")
        fix = f"to replace it, set the alias champion to version {challenger}: "
        fix += f"python -m flows.promote {challenger} --reason ..."
        return f"{stays}: the champion cannot be tested on the same images ({cause}); {fix}"
    if not takes_over:
        return f"{stays}: {why}"
    consents, word = approval.approved(name, challenger, why)
    why += f"; {word}" if word else ""
    if not consents:
        return f"{stays}: {why}"
    audit.crown(name, challenger, audit.AUTOMATIC, why)
    return f"champion is now version {challenger}: {why}"
