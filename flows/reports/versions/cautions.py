"""What a reader of the page of versions should know before believing a number."""

from collections.abc import Iterator

from flows.registry import audit
from flows.reports.versions.findings import Findings


def all_of(findings: Findings) -> list[str]:
    """The warnings, as plain text."""
    return [told for check in CHECKS for told in check(findings)]


def other_images(findings: Findings) -> Iterator[str]:
    """Champion and challenger, or whichever two, tested on other images."""
    if findings.pair and findings.pair[0].tested_on != findings.pair[1].tested_on:
        yield (
            "The two versions that are compared were tested on other images: the next run of the "
            "stage register tests the champion again on the challenger's."
        )


def set_elsewhere(findings: Findings) -> Iterator[str]:
    """An alias of which the trail says something else."""
    known = audit.readable(list(findings.trail))
    if findings.champion and known and known[-1].after != findings.champion:
        yield (
            f"The champion is version {findings.champion}, the trail's last entry made it version "
            f"{known[-1].after}: the alias was set elsewhere; use flows.promote, which asks for a "
            "reason."
        )


def busy(findings: Findings) -> Iterator[str]:
    """Times of a machine that had other work."""
    loud = [version.number for version in findings.pair or () if version.busy]
    if loud:
        yield (
            f"Times of version {' and '.join(loud)} were measured while other work took the "
            "processors: they may be too high; run the stage evaluate again on a quiet machine."
        )


def devices(findings: Findings) -> Iterator[str]:
    """Costs that were measured on different machines."""
    named = list(dict.fromkeys(version.tag("device") for version in findings.pair or ()))
    if len(named) > 1 and all(named):
        yield f"The two versions were timed on {' and '.join(named)}: do not compare their times."


def nothing_kept(findings: Findings) -> Iterator[str]:
    """Versions that were registered before the registry kept answers, or by other tools."""
    bare = [version.number for version in findings.pair or () if version.kept.answers is None]
    if bare:
        yield (
            f"The registry keeps no answers of version {' and '.join(bare)}: classes, confusions "
            "and images cannot be compared; register it again, if it is one of tagdag."
        )


def faults(findings: Findings) -> Iterator[str]:
    """Files that cannot be read."""
    yield from findings.faults


CHECKS = (other_images, set_elsewhere, busy, devices, nothing_kept, faults)
