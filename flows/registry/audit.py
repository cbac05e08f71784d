"""The audit trail of the champion: who made which version champion, when and why.

Every entry is a tag of the registered model whose name nobody else uses: its number, and eight
letters of chance. So it is only ever added to, and of two promotions at a time none is lost. The
number is one more than the highest that is known (Lamport 1978, "Time, Clocks, and the Ordering of
Events in a Distributed System", Communications of the ACM 21): clocks of several machines differ.
The entry comes before the alias: what a kill leaves undone is seen, and a repeat does it.
"""

import json
import secrets
import time
from typing import NamedTuple

from flows.registry.aliases import CHAMPION, point_alias, registered_model
from flows.tracking import people, tracking
from flows.tracking.outage import retry

PREFIX = "tagdag.audit."
AUTOMATIC, PROMOTE, ROLLBACK = "automatic", "promote", "rollback"
LONGEST = 2000  # characters of a reason


class Entry(NamedTuple):
    """A change of the champion; `before` is empty where there was none.

    when: UTC, ISO 8601. kind: automatic (by the stage register), promote or rollback; `unreadable`
    for a tag that is no entry, whose text is the reason.
    """

    key: str
    when: str
    who: str
    kind: str
    before: str
    after: str
    reason: str


def _entry(key: str, text: str) -> Entry:
    """The entry of a tag; anybody may have written it."""
    try:
        found = json.loads(text)
        return Entry(key, *(str(found[field]) for field in Entry._fields[1:]))
    except (ValueError, KeyError, TypeError):
        return Entry(key, "", "", "unreadable", "", "", text[:LONGEST])


def trail(name: str) -> list[Entry]:
    """All entries, the oldest first; ValueError where there is no such model."""
    return entries_of(registered_model(name).tags)


def entries_of(tags: dict[str, str]) -> list[Entry]:
    """All entries among the tags of a registered model, the oldest first."""
    return [_entry(key, tags[key]) for key in sorted(tags) if key.startswith(PREFIX)]


def readable(entries: list[Entry]) -> list[Entry]:
    """Those that say what became champion."""
    return [entry for entry in entries if entry.kind != "unreadable"]


def _number(entry: Entry) -> int:
    digits = entry.key.removeprefix(PREFIX).partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _append(name: str, kind: str, before: str, after: str, reason: str) -> Entry:
    """Add an entry, and see that it is there."""
    number = 1 + max(map(_number, trail(name)), default=0)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    key = f"{PREFIX}{number:09d}.{secrets.token_hex(4)}"
    entry = Entry(key, when, people.who(), kind, before, after, reason[:LONGEST])
    text = json.dumps({field: getattr(entry, field) for field in Entry._fields[1:]})
    retry(tracking.connect().set_registered_model_tag)(name, key, text)
    if entry not in trail(name):
        raise ValueError(f"the registry did not keep the entry {key}: run the command again")
    return entry


def _settle(name: str) -> str:
    """Let the alias be what the newest entry says; its version.

    Of two who do so at a time both come to the same, whoever was last to set the alias.
    """
    newest = readable(trail(name))[-1]
    if str(registered_model(name).aliases.get(CHAMPION)) != newest.after:
        point_alias(name, CHAMPION, newest.after)
    return newest.after


def crown(name: str, version: str, kind: str, reason: str) -> str:
    """Make a version champion and say so in the trail; the champion that there is then.

    It is another one where somebody else came after at the same moment.
    """
    before = str(registered_model(name).aliases.get(CHAMPION, ""))
    _append(name, kind, before, version, reason)
    point_alias(name, CHAMPION, version)
    return _settle(name)


def champions(entries: list[Entry], present: str) -> list[str]:
    """The champions that a rollback goes back through, the present one last.

    A rollback takes off what came after the champion it went back to. present: where the alias is,
    which may have been set elsewhere; empty for none.
    """
    stack: list[str] = []
    for entry in readable(entries):
        if entry.before and entry.before not in stack[-1:]:
            stack.append(entry.before)
        if entry.kind == ROLLBACK and entry.after in stack:
            while stack[-1] != entry.after:
                stack.pop()
        elif entry.after not in stack[-1:]:
            stack.append(entry.after)
    if present and present not in stack[-1:]:
        stack.append(present)
    return stack
