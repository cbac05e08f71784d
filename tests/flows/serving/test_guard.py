"""What a served model answers to sound, odd and hostile requests: MLflow's server behind the guard.

Requests go straight into the application; benchmarks/serving.py asks a server over HTTP.
"""

import asyncio
import json
import struct
import zlib
from io import BytesIO

import httpx
import pytest
from PIL import Image

from flows.serving.guard import Guard
from flows.serving.requests import MOST_IMAGES
from flows.tools.prefectserver import guarded
from flows.tools.serve import application
from tests.support.served import base64_of, loaded, model_folder, png

URL = "http://127.0.0.1:5002"
JSON = {"content-type": "application/json"}
GOOD = base64_of(png())


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


def bomb(width: int, height: int) -> str:
    """A PNG whose header promises more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return base64_of(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))))


def grey_bomb() -> str:
    """A real PNG of 10,000 x 10,000 pixels in 12 kB."""
    out = BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    return base64_of(out.getvalue())


def inputs(*images) -> str:
    return json.dumps({"inputs": list(images)})


HOSTILE = {
    "bomb": (inputs(bomb(60_000, 60_000)), 400, "too many pixels"),
    "real bomb": (inputs(grey_bomb()), 400, "too many pixels"),
    "no image": (inputs(base64_of(b"hello")), 400, "unknown format"),
    "path": (inputs("/etc/passwd"), 400, "never the name of a file"),
    "file": (inputs("file:///etc/passwd"), 400, "never the name of a file"),
    "http": (inputs("http://169.254.169.254/latest"), 400, "never the name of a file"),
    "data": (inputs("data:image/png;base64," + GOOD), 400, "no base64"),
    "nothing": ("", 400, "no"),
    "empty": (inputs(), 400, "found 0 images"),
    "many": (inputs(*[GOOD] * (MOST_IMAGES + 1)), 400, "allowed are 1 to"),
    "broken": ('{"inputs": ["', 400, "not valid JSON"),
    "not utf-8": (b'{"inputs": ["\xff"]}', 400, "not valid JSON"),
    "deep": ('{"inputs": ' + "[" * 50_000, 400, "nested deeper"),
    "deeper": ('{"inputs": ' + "[" * 500_000, 400, "too much that is no text"),
    "list": (json.dumps([GOOD]), 400, "no JSON object"),
    "nan": ('{"inputs": [NaN]}', 400, "not valid JSON"),
    "digits": ('{"inputs": [' + "9" * 5000 + "]}", 400, "not valid JSON"),
    "null": ('{"inputs": [null]}', 400, "found NoneType, expected base64"),
    "numbers": (json.dumps({"inputs": [[[0] * 300] * 300]}), 400, "too much that is no text"),
    "object": (json.dumps({"inputs": [{"path": GOOD}]}), 400, "found dict, expected base64"),
    "two forms": (json.dumps({"inputs": [GOOD], "instances": [GOOD]}), 400, "give one of"),
    "unknown": (json.dumps({"inputs": [GOOD], "signature_name": "x"}), 400, "nothing else"),
    "column": (json.dumps({"dataframe_split": {"columns": ["x"], "data": [[GOOD]]}}), 400, "are ["),
    "paths": (json.dumps({"inputs": [GOOD], "params": {"paths": True}}), 400, "top, a whole"),
    "top": (json.dumps({"inputs": [GOOD], "params": {"top": True}}), 400, "top, a whole"),
    "top 0": (json.dumps({"inputs": [GOOD], "params": {"top": -1}}), 400, "top, a whole"),
    "surrogate": ('{"inputs": ["\\ud800"]}', 400, "no base64"),
    "large": (inputs("A" * (33 << 20)), 413, "at most 33,554,432 bytes"),
}


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
