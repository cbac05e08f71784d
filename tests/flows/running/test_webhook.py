"""News of runs: what is posted, and that neither a receiver nor its absence disturbs a run."""

import http.server
import json
import threading
import time
from types import SimpleNamespace

import pytest

from flows.running import webhook
from flows.tracking import news


@pytest.fixture
def receiver(monkeypatch):
    """A receiver: what it got, and what it answers."""
    got = SimpleNamespace(told=[], status=204, wait=0.0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.told.append((self.path, json.loads(body)))
            time.sleep(got.wait)
            self.send_response(got.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/hooks/S3CRET"
        monkeypatch.setenv("TAGDAG_WEBHOOK", address)
        yield got
        server.shutdown()


def test_the_end_of_a_run_is_told_with_its_stages(receiver, place):
    with news.told("pipeline", ["corpus"]):
        pass
    [(path, told)] = receiver.told
    assert path == "/hooks/S3CRET" and told["event"] == "succeeded"
    assert (told["pipeline"], told["stages"], told["links"]) == ("pipeline", ["corpus"], {})


@pytest.mark.parametrize(
    ("error", "event"), [(ValueError("lower the rate"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_a_failure_is_told_and_raised(receiver, place, error, event):
    with pytest.raises(type(error)), news.told("pipeline", []):
        raise error
    [(_, told)] = receiver.told
    assert told["event"] == event and told["error"] == (str(error) or "KeyboardInterrupt")


def test_only_a_change_of_the_champion_is_news(receiver, place):
    one, two = SimpleNamespace(version=1), SimpleNamespace(version="2")
    news.champion_news("tagdag", "it stays", one, SimpleNamespace(version="1"))
    news.champion_news("tagdag", "better", one, two)
    [(_, told)] = receiver.told
    assert told["champion"] == {"model": "tagdag", "version": "2", "before": "1", "why": "better"}


def test_passwords_in_messages_are_not_sent(receiver):
    error = "postgresql://me:pa55@host/base?password=pa55 and https://h/x?token=pa55#y"
    webhook.notify("failed", "pipeline", error=error, links={"s3": "https://u:pa55@h/"})
    [(_, told)] = receiver.told
    assert "pa55" not in json.dumps(told) and "postgresql://host/base" in told["error"]


@pytest.mark.parametrize("status", [302, 403, 500])
def test_a_receiver_that_refuses_costs_a_warning_without_the_address(receiver, caplog, status):
    receiver.status = status
    webhook.notify("succeeded", "pipeline")
    [record] = caplog.records
    assert str(status) in record.message and "S3CRET" not in caplog.text
    assert len(receiver.told) == 1  # no redirection was followed


def test_a_receiver_that_hangs_or_is_gone_holds_nothing_up(receiver, monkeypatch, caplog):
    monkeypatch.setattr(webhook, "LONGEST", 0.2)
    receiver.wait = 2.0
    start = time.monotonic()
    webhook.notify("succeeded", "pipeline")
    monkeypatch.setenv("TAGDAG_WEBHOOK", "http://127.0.0.1:9/S3CRET")
    webhook.notify("succeeded", "pipeline")
    assert time.monotonic() - start < 1.5 and "S3CRET" not in caplog.text


def test_without_an_address_nothing_is_sent(receiver, monkeypatch):
    monkeypatch.delenv("TAGDAG_WEBHOOK")
    webhook.notify("succeeded", "pipeline")
    assert receiver.told == []
