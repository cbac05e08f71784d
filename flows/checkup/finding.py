"""What a check of `tagdag doctor` says, and how it is guarded."""

from collections.abc import Callable
from typing import Any, NamedTuple

from corpus.names import printable
from flows.running import error_messages

OK, NOTE, WRONG = "ok", "note", "wrong"


class Finding(NamedTuple):
    """state: OK, NOTE (works, with less) or WRONG; what was found; how to mend it, if need be."""

    state: str
    found: str
    fix: str = ""


def guarded(check: Callable[..., Finding], *arguments: Any) -> Finding:
    """What a check finds; a fault that ends it is a finding too."""
    try:
        return check(*arguments)
    except Exception as error:
        told = error_messages.error_message(error) or f"{type(error).__name__}: {error}"
        return Finding(WRONG, printable(told))
