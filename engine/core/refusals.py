"""How a section of params.yaml that is refused is told: what is wrong, and how to mend it."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

LONGEST = 100  # letters of a wrong value that a message repeats


def refusal_text(
    faults: list[Any],
    section: dict[str, Any],
    where: str,
    fields: Collection[str],
    given: Collection[str],
) -> str:
    """What pydantic found, one sentence for each key.

    faults: of its ValidationError. where: the section's place. fields: keys that it may have.
    given: keys that the code sets itself.
    """
    keys: list[str] = []
    values: dict[str, list[str]] = {}  # reasons by wrong value: a union has one for each member
    for fault in faults:
        sentence = _key_fault(fault, fields, given)
        if sentence:
            keys.append(sentence)
            continue
        place = ".".join([where, *_place(section, fault["loc"])])
        found = f"{place} = {repr(fault['input'])[:LONGEST]}"
        values.setdefault(found, []).append(fault["msg"].removeprefix("Value error, "))
    sentences = []
    if keys:
        sentences.append(f"{where}: {'; '.join(keys)} (keys: {', '.join(fields) or 'none'})")
    for found, reasons in values.items():
        # members of a union may refuse a value in the same words
        sentences.append(f"{found}: {', or '.join(dict.fromkeys(reasons))}")
    return "; ".join(sentences)


def _key_fault(fault: Any, fields: Collection[str], given: Collection[str]) -> str:
    """One sentence on a key that is missing or too many; nothing for a wrong value."""
    key = str(fault["loc"][0])
    if fault["type"] == "missing":
        return f"missing key '{key}', add it"
    if fault["type"] != "extra_forbidden" or len(fault["loc"]) > 1:
        return ""
    if key in given:
        return f"key '{key}' is set by the code, remove it"
    return f"unknown key '{key}'{nearest_text(key, fields)}"


def _place(section: Any, location: tuple) -> list[str]:
    """Keys and indices on the way to a wrong value."""
    place = []
    for step in location:
        keys = section if isinstance(section, dict) else ()
        if isinstance(section, list | tuple):
            keys = range(len(section))
        # else it is no key: pydantic also names the member of a union that it tried there
        if step in keys:
            section = section[step]
            place.append(str(step))
    return place


def nearest_text(word: str, known: Collection[str]) -> str:
    """The end of a sentence on an unknown word: what may have been meant."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ", remove it"
