"""News of runs for people: JSON, posted to the address in TAGDAG_WEBHOOK.

The address is a credential (whoever has it may post): it is never printed, logged or stored. What
becomes of the news is not the run's business: nothing is waited for long, and nothing fails.
"""

import json
import re
import threading
import urllib.request
from typing import Any

from engine.core.environment import value
from flows.running.orchestrate import log

LONGEST = 10.0  # seconds for an answer
LETTERS = 2000  # of a text that is sent


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, which would take the news to who knows where."""

    def redirect_request(self, *_: Any) -> None:
        return None


def without_password(text: str) -> str:
    """A text in which no address has a user, a password or what stands behind a question mark."""
    text = re.sub(r"(?<=://)[^\s/@]*@", "", text)
    return re.sub(r"(\w+://[^\s?#]*)\?[^\s#]*", r"\1", text)


def _post(address: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(address, body, headers, method="POST")
        with urllib.request.build_opener(_Stay).open(request, timeout=LONGEST):
            pass
    # whatever it is, in whatever library; its text may quote the address
    except Exception as error:
        status = getattr(error, "code", "")
        log.warning("TAGDAG_WEBHOOK took no news: %s %s", type(error).__name__, status)


def notify(event: str, pipeline: str, **facts: Any) -> None:
    """Post `{"event": ..., "pipeline": ..., **facts}`; nothing where no address is named.

    It returns when the news has arrived, or has not for LONGEST seconds.
    """
    address = value("TAGDAG_WEBHOOK")
    if not address:
        return
    told = {"event": event, "pipeline": pipeline} | facts
    clean = {key: _clean(each) for key, each in told.items()}
    body = json.dumps(clean, default=str).encode()
    # a thread: a name that is looked up without end has no time limit of its own
    thread = threading.Thread(target=_post, args=(address, body), name="webhook", daemon=True)
    thread.start()
    thread.join(LONGEST)


def _clean(fact: Any) -> Any:
    if isinstance(fact, dict):
        return {key: _clean(each) for key, each in fact.items()}
    return without_password(fact)[:LETTERS] if isinstance(fact, str) else fact
