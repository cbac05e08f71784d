"""MLflow's scoring server behind walls: what it answers, how large a request may be, how long it
may take, and what an error tells.

MLflow's own server has no bound on a body, shows the documentation's pages, and answers errors with
the stack trace. Here a client learns why its request was refused; what failed inside is in the log.
"""

import asyncio
import json
import logging
from typing import Any

from flows.serving.requests import MOST_BYTES, Refused, checked

SECONDS = 20.0  # for a request's body to come
# Of a body that is too large so many times the bound is read and forgotten: most clients read no
# answer before they have sent all.
READ = 4
WAITING = 16  # requests that are worked on or wait; the next is told to come again
PATHS = {"/ping": "GET", "/health": "GET", "/version": "GET", "/invocations": "POST"}

log = logging.getLogger(__name__)


class Guard:
    """An ASGI application around MLflow's: only sound requests go in, no trace comes out."""

    def __init__(self, app: Any, seconds: float = SECONDS, most_bytes: int = MOST_BYTES) -> None:
        self.app, self.seconds, self.most_bytes = app, seconds, most_bytes
        self.working = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            status, body, kind = await self._answer(scope, receive)
            await _send(send, status, body, kind)
        # a web socket is left without an answer, which uvicorn makes a 403

    async def _answer(self, scope: dict[str, Any], receive: Any) -> tuple[int, bytes, bytes]:
        self.working += 1
        try:
            body = await self._body(scope, receive)
            answer = await _asked(self.app, scope, body)
        except Refused as error:
            return _told(error.status, str(error))
        except Exception:
            log.exception("the model failed on a request")
            return _told(500, "the model failed on this request: the server's log says why")
        finally:
            self.working -= 1
        return answer if answer[0] < 400 else _told(answer[0], _why(answer))

    async def _body(self, scope: dict[str, Any], receive: Any) -> bytes:
        """What MLflow is given in the place of the request's body; Refused for all that is odd."""
        method = PATHS.get(scope["path"])
        if method is None:
            raise Refused(404, f"there are {', '.join(PATHS)}")
        if scope["method"] != method:
            raise Refused(405, f"{scope['path']} answers {method}")
        if method == "GET":
            return b""
        if self.working > WAITING:
            raise Refused(503, "too many requests at a time: try again")
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > READ * self.most_bytes:
            raise self._too_large()
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refused(415, "send the body as it is, not compressed")
        try:
            keep = int(length) <= self.most_bytes
            body = await asyncio.wait_for(self._received(receive, keep), self.seconds)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {self.seconds:g} s") from None
        kind = headers.get(b"content-type", b"").decode("latin-1")
        # in a thread: megabytes of JSON would keep all others waiting
        return await asyncio.to_thread(checked, body, kind)

    async def _received(self, receive: Any, keep: bool) -> bytes:
        """The whole body; keep: whether it may be small enough."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the client is gone")
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > READ * self.most_bytes:
                raise self._too_large()
            keep = keep and size <= self.most_bytes
            # what is refused is not even collected: such blocks of memory are not all given back
            if keep:
                parts.append(part)
            else:
                parts.clear()
        if size > self.most_bytes:
            raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(413, f"a request has at most {self.most_bytes:,} bytes")


async def _asked(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, bytes, bytes]:
    """Status, body and content type of the application's answer to this body."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    waiting, got = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()  # nothing more comes; the application cancels this
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        got.append(message)

    await app({**scope, "headers": headers, "query_string": b""}, receive, send)
    start = next(each for each in got if each["type"] == "http.response.start")
    parts = (each.get("body", b"") for each in got if each["type"] == "http.response.body")
    kind = dict(start["headers"]).get(b"content-type", b"application/json")
    return start["status"], b"".join(parts), kind


def _why(answer: tuple[int, bytes, bytes]) -> str:
    """What of MLflow's error a client may know: its message's end, which is the model's own."""
    status, body, _ = answer
    log.warning("answered with %s: %s", status, body.decode(errors="replace")[:4000])
    if status >= 500:
        return "the model failed on this request: the server's log says why"
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "the request was refused"
    # before it MLflow prints the input
    return message.rpartition("\nError: ")[2][:300]


def _told(status: int, why: str) -> tuple[int, bytes, bytes]:
    return status, json.dumps({"error": why}).encode() + b"\n", b"application/json"


async def _send(send: Any, status: int, body: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    headers += [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # what is still to come is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
