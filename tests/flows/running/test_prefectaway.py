"""Prefect's server away: what begins waits, what has ended has ended, the rest does without.

`python -m benchmarks.outages` takes a real one away.
"""

import http.server
import threading
import time

import httpx
import pytest

from benchmarks.services import free_port
from flows.running import orchestrate, prefectaway


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def serving(port: int, after: float = 0.0) -> None:
    def serve():
        time.sleep(after)
        http.server.HTTPServer(("127.0.0.1", port), Healthy).serve_forever()

    threading.Thread(target=serve, daemon=True).start()


@pytest.fixture
def port(monkeypatch) -> int:
    """The port of a server that is named, and not there."""
    found = free_port()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{found}/api")
    monkeypatch.setenv("TAGDAG_PREFECT_PATIENCE", "0.2")
    for name in ("_known", "_lost"):
        monkeypatch.setattr(prefectaway, name, threading.Event())
    prefectaway._known.set()
    return found


def away(*_):
    raise httpx.ConnectError("connection refused")


def test_what_begins_waits_for_the_server(port, monkeypatch, caplog):
    monkeypatch.setenv("TAGDAG_PREFECT_PATIENCE", "20")
    serving(port, after=1.5)
    assert prefectaway.surviving(lambda a: ("prefect", a), lambda a: ("bare", a), (1,), {}) == (
        "prefect",
        1,
    )
    assert "takes nothing at present" in caplog.text and "takes everything again" in caplog.text


def test_a_wrong_address_is_told_at_once(port):
    prefectaway._known.clear()
    with pytest.raises(ValueError, match=r"does not answer .*refused.*unset it to run without one"):
        prefectaway.surviving(away, lambda a: a, (1,), {})
    assert not prefectaway.lost()


def test_a_server_that_stays_away_is_done_without(port, caplog):
    assert prefectaway.surviving(away, lambda a: ("bare", a), (1,), {}) == ("bare", 1)
    assert "what remains goes on without it" in caplog.text
    assert prefectaway.lost() and not orchestrate.orchestrated()


def test_what_has_ended_before_the_server_went_is_not_done_again(port, caplog):
    serving(port)
    calls = []
    function = prefectaway.noted(lambda a: calls.append(a) or 10 * a)

    def engine(a):
        function(a)
        away()

    assert prefectaway.surviving(engine, function.__wrapped__, (4,), {}) == 40 and calls == [4]
    assert "as running" in caplog.text and prefectaway.lost()


def test_errors_of_the_stage_itself_are_raised(port):
    serving(port)

    def fails():
        raise httpx.ConnectError("the stage's own")

    with pytest.raises(httpx.ConnectError, match="own"):
        prefectaway.surviving(prefectaway.noted(fails), fails, (), {})
    with pytest.raises(ZeroDivisionError):
        prefectaway.surviving(lambda: 1 / 0, fails, (), {})
    assert not prefectaway.lost()
