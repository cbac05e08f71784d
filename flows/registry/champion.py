"""Who is champion: the challenger, when its interval lies above it on the same test split.

A champion that was tested on another split is tested again first, with the weights that the
registry keeps. One that cannot be tested stays: to put another in its place is a person's decision.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

from flows.registry import approval, audit, evidence, modelcard, registry
from flows.registry.aliases import point_alias, version_of_alias
from flows.registry.fetched import fetched_version
from flows.running.orchestrate import task
from flows.tracking.outage import is_away

Labels = dict[str, str]


def tag_number(labels: Labels, key: str) -> float | None:
    """A tag as a finite number; None where there is none, as on versions of other tools."""
    try:
        value = float(labels.get(f"tagdag.{key}", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def version_accuracy(labels: Labels) -> float | None:
    """Top-1 of a version in percent: the mean over its seeds, to which its interval belongs.

    Where only its weights were tested, which are of one seed, theirs.
    """
    mean = tag_number(labels, "top1_mean")
    return tag_number(labels, "top1") if mean is None else mean  # registered long ago


def better(challenger: Labels, top1: float) -> tuple[bool, str]:
    """Whether the challenger takes over, and why: its interval lies above the champion's top-1.

    The interval is over seeds and test images, both numbers are means over seeds.
    """
    low = float(challenger["tagdag.top1_low"])
    told = "above" if low > top1 else "not above"
    told = f"low end {low:.1f} % of the challenger's interval is {told} the champion's {top1:.1f} %"
    return low > top1, told


def retest_champion(name: str, version: Any, challenger: Labels) -> float:
    """Test a champion on the challenger's test split and give its version the new numbers.

    Its top-1.

    Raises ValueError that says why it cannot be tested.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights, record = fetched_version(version.tags, Path(folder))
        ours, theirs = record.get("target"), challenger["tagdag.target"]
        if ours != theirs:
            raise ValueError(f"it is a model of {ours!r}, the challenger of {theirs!r}")
        from flows.registry import retest  # torch, which --help and most runs of the stage need not

        numbers, answers = retest.test_again(weights, record)
    labels = {f"tagdag.{key}": f"{numbers[key]:.6g}" for key in modelcard.TESTED}
    labels["tagdag.seeds"] = "1"  # of the others there are no weights
    labels |= {f"tagdag.{key}": challenger[f"tagdag.{key}"] for key in ("target", "test")}
    registry.renew_version(name, str(version.version), labels, modelcard.UNKNOWN | numbers)
    if version.run_id:
        evidence.keep(version.run_id, record | {"test": challenger["tagdag.test"]}, answers)
    return numbers["top1_mean"]


def accuracy_on_same_split(name: str, version: Any, challenger: Labels) -> float:
    """The champion's top-1 on the challenger's test split; ValueError says why there is none."""
    from mlflow.exceptions import MlflowException

    known = version_accuracy(version.tags)
    if version.tags.get("tagdag.test") == challenger["tagdag.test"] and known is not None:
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
def name_champion(name: str, challenger: str) -> str:
    """Set the alias `challenger`, and `champion` when its interval lies above; says why."""
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
        takes_over, why = better(labels, accuracy_on_same_split(name, champion, labels))
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
