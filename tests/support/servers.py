"""Prefect's server as `make prefect` starts it, on a free port and with a home of its own."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.services import auth_string, bare_environment, free_port

# seconds; by themselves the services look every 60 and every 5
FAST = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
}


class Answer(NamedTuple):
    """Status, headers and text of an answer."""

    status: int
    headers: dict[str, str]
    text: str


class Server(NamedTuple):
    """A server that runs: http://127.0.0.1:port, its home, and the file that it writes to."""

    url: str
    home: Path
    log: Path

    @property
    def auth(self) -> str:
        return auth_string(self.home)

    def ask(self, path: str, body: Any = None, auth: str = "", **headers: str) -> Answer:
        """GET, or POST where there is a body; `auth` is the auth string to send, if any."""
        sent = {"Content-Type": "application/json"} | headers
        if auth:
            sent["Authorization"] = f"Basic {b64encode(auth.encode()).decode()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, sent)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())

    def rows(self, what: str, **body: Any) -> list[dict[str, Any]]:
        """All rows of one kind, as the API gives them."""
        answer = self.ask(f"/api/{what}/filter", body, self.auth)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)


@contextlib.contextmanager
def prefect_server(home: Path, **more: str) -> Iterator[Server]:
    """Start, wait until it answers, end; more: environment variables."""
    port, log = free_port(), home / "log"
    command = [sys.executable, "-m", "flows.prefectserver", "--port", str(port)]
    env = bare_environment() | FAST | {"PREFECT_HOME": str(home)} | more
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=env, stdout=file, stderr=file)
    server = Server(f"http://127.0.0.1:{port}", home, log)
    try:
        wait_for(lambda: healthy(server, process), 300)
        yield server
    finally:
        process.kill()  # its ordinary end takes seconds
        process.wait(10)


def healthy(server: Server, process: subprocess.Popen) -> bool:
    assert process.poll() is None, server.log.read_text()
    try:
        return server.ask("/api/health").status == 200
    except OSError:
        return False


def wait_for(condition: Any, seconds: float) -> Any:
    """What the condition returns as soon as that is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    result = condition()
    while not result:
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(0.2)
        result = condition()
    return result
