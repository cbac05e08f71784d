"""A person's decisions about the champion: promote a version, roll back, read the trail.

The next run of the stage register compares its challenger with whoever is champion then, by its
usual rule (flows/registry/champion.py): a decision stands until a challenger's interval lies above
it.
"""

from flows.registry import aliases, audit
from flows.registry.aliases import CHAMPION
from flows.tracking import people
from flows.tracking.news import champion_news


def _reason(reason: str) -> str:
    """On one line."""
    told = " ".join(reason.split())
    if not told:
        raise ValueError("--reason is empty: say why, for those who read the trail")
    if len(told) > audit.LONGEST:
        raise ValueError(f"--reason has {len(told):,} letters: {audit.LONGEST:,} at most")
    return told


def _crowned(name: str, version: str, kind: str, reason: str) -> str:
    """Make it champion; what came of it."""
    before = aliases.version_of_alias(name, CHAMPION)
    found = audit.crown(name, version, kind, reason)
    was = f"it was version {before.version}" if before else "there was no champion"
    told = f"{kind} by {people.who()}: {reason}"
    champion_news(name, told, before, aliases.version_of_alias(name, CHAMPION))
    if found != version:
        return (
            f"version {version} was champion for a moment: another promotion came after it, and "
            f"champion of {name} is version {found}"
        )
    return f"champion of {name} is now version {version}: {was}"


def promote(name: str, wanted: str, reason: str) -> str:
    """Make a version champion, named by its number or an alias; what was done.

    Raises ValueError for a version that is not there, and for no reason.
    """
    told = _reason(reason)
    version = str(aliases.find_version(name, wanted).version)
    if str(aliases.registered_model(name).aliases.get(CHAMPION)) == version:
        return f"champion of {name} is version {version} already: nothing was changed"
    return _crowned(name, version, audit.PROMOTE, told)


def rollback(name: str, reason: str) -> str:
    """Make the champion before the present one champion again; what was done.

    Champions that were deleted since are passed over. Raises ValueError where there is none.
    """
    told = _reason(reason)
    present = str(aliases.registered_model(name).aliases.get(CHAMPION, ""))
    *earlier, _ = audit.champions(audit.trail(name), present) or [""]
    for version in reversed(earlier):
        if version != present and _there(name, version):
            return _crowned(name, version, audit.ROLLBACK, told)
    gone = f" ({', '.join(earlier)} were deleted)" if earlier else ""
    raise ValueError(
        f"the trail of {name!r} knows no champion before the present one{gone}: name a version "
        "with `python -m flows.promote VERSION --reason ...`"
    )


def _there(name: str, version: str) -> bool:
    """Whether a version can be champion still."""
    try:
        aliases.find_version(name, version)
    except ValueError:
        return False
    return True


def history(name: str) -> list[str]:
    """The trail as lines, the newest last, and where the alias is if it does not say so."""
    entries = audit.trail(name)
    lines = []
    for entry in entries:
        if entry.kind == "unreadable":
            lines.append(f"{entry.key}: no entry of a trail: {entry.reason}")
            continue
        change = f"{entry.before or 'none'} -> {entry.after}"
        lines.append(f"{entry.when}  {change:10} {entry.kind:9} {entry.who}: {entry.reason}")
    present = str(aliases.registered_model(name).aliases.get(CHAMPION, ""))
    known = audit.readable(entries)
    if present and (not known or known[-1].after != present):
        lines.append(f"champion is version {present}: set elsewhere, by whom is not known")
    return lines or [f"{name} never had a champion"]
