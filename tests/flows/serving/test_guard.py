"""What a served model answers to sound, odd and hostile requests: MLflow's server behind the guard.

Requests go straight into the application; benchmarks/serving.py asks a server over HTTP.
"""

import asyncio
import json

import httpx
import pytest

from flows.serving.guard import Guard
from flows.tools.prefectserver import guarded
from flows.tools.serve import application
from tests.support.hostile import GOOD, HOSTILE, inputs
from tests.support.served import base64_of, loaded, model_folder

URL = "http://127.0.0.1:5002"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    from _pytest.monkeypatch import MonkeyPatch

    with MonkeyPatch.context() as patch:
        folder = model_folder(tmp_path_factory.mktemp("served"), ["sea", "dog", "tree"])
        patch.setattr("flows.registry.loading.load_function", lambda _: loaded(folder))
        # which MLflow sets for good when it makes its application
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false")
        yield application("models:/any@champion")


def ask(app, content=None, path="/invocations", method="POST", **headers) -> httpx.Response:
    """One request, straight into the application."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            given = {key.replace("_", "-"): text for key, text in headers.items()}
            return await client.request(method, path, content=content, headers=JSON | given)

    return asyncio.run(asked())


FORMS = [
    {"inputs": [GOOD]},
    {"inputs": GOOD},
    {"inputs": {"image": [GOOD]}},
    {"instances": [GOOD]},
    {"instances": [{"image": GOOD}]},
    {"dataframe_split": {"columns": ["image"], "data": [[GOOD]]}},
    {"dataframe_records": [{"image": GOOD}]},
]


@pytest.mark.parametrize("body", FORMS)
def test_every_form_of_mlflows_json_is_answered(app, body):
    answer = ask(app, json.dumps(body | {"params": {"top": 2}}))
    [row] = answer.json()["predictions"]
    assert answer.status_code == 200 and row["class"] in ("sea", "dog", "tree")
    assert len(row["classes"]) == len(row["scores"]) == 2 and row["error"] is None


def test_a_bad_image_among_good_ones_is_a_row_with_nulls(app):
    answer = ask(app, json.dumps({"inputs": [GOOD, base64_of(b"hello")]}))
    good, bad = answer.json()["predictions"]
    assert answer.status_code == 200 and good["error"] is None
    assert bad["class"] is bad["score"] is None and bad["error"].startswith("unknown format")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_no_image_is_refused_with_a_sentence(app, name):
    body, status, told = HOSTILE[name]
    answer = ask(app, body)
    assert (answer.status_code, told in answer.json()["error"]) == (status, True), answer.text
    assert len(answer.text) < 500 and "Traceback" not in answer.text and 'File "' not in answer.text


@pytest.mark.parametrize(
    "path, method, headers, status",
    [
        ("/invocations", "GET", {}, 405),
        ("/invocations", "POST", {"content_type": "text/csv"}, 415),
        ("/invocations", "POST", {"content_type": "application/json; charset=utf-16"}, 415),
        ("/invocations", "POST", {"content_type": ""}, 415),
        ("/invocations", "POST", {"content_encoding": "gzip"}, 415),
        ("/invocations", "POST", {"content_length": "-1"}, 413),
        ("/invocations", "POST", {"host": "evil.example"}, 403),
        ("/invocations", "POST", {"origin": "http://evil.example"}, 403),
        ("/docs", "GET", {}, 404),
        ("/openapi.json", "GET", {}, 404),
        ("/../etc/passwd", "GET", {}, 404),
        ("/ping", "POST", {}, 405),
        ("/ping", "GET", {}, 200),
        ("/version", "GET", {}, 200),
    ],
)
def test_other_paths_methods_types_hosts_and_origins(app, path, method, headers, status):
    assert ask(app, inputs(GOOD), path, method, **headers).status_code == status


def answered(app, messages: list[dict], seconds: float = 9.0) -> int:
    """Status of a request whose body comes in these messages, and then no more."""
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b""}
    scope["headers"] = [(b"content-type", b"application/json")]
    sent, waiting = [], list(messages)

    async def receive() -> dict:
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(Guard(app, seconds, most_bytes=1000)(scope, receive, send))
    return sent[0]["status"]


def test_a_body_that_does_not_come_or_does_not_end_is_refused():
    part = {"type": "http.request", "body": b"x" * 400, "more_body": True}
    end = part | {"more_body": False}
    assert answered(None, [part], seconds=0.01) == 408
    assert answered(None, [part] * 5 + [end]) == 413  # read to its end, so that the client hears it
    assert answered(None, [part] * 500) == 413
    assert answered(None, [{"type": "http.disconnect"}]) == 400


def failing(status: int, body: bytes):
    """An application as MLflow's, with an answer of its own."""

    async def app(scope, receive, send) -> None:
        if not status:
            raise RuntimeError("secret")
        start = {"type": "http.response.start", "status": status, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize("status", [0, 500])
def test_what_fails_inside_is_logged_and_not_told(status, caplog):
    answer = ask(guarded(Guard(failing(status, b"secret"))), inputs(GOOD))
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "secret" in caplog.text


def test_of_mlflows_errors_the_message_is_told_and_the_trace_is_not():
    told = json.dumps({"message": "Failed 'AAAA'. \nError: top=0", "stack_trace": "File x"})
    answer = ask(guarded(Guard(failing(400, told.encode()))), inputs(GOOD))
    assert (answer.status_code, answer.json()) == (400, {"error": "top=0"})


def test_too_many_requests_at_a_time_are_told_to_come_again():
    guard = Guard(failing(200, b"{}"))
    guard.working = 16
    assert ask(guarded(guard), inputs(GOOD)).status_code == 503
