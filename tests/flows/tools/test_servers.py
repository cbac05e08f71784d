"""Who may speak to the servers that `make prefect` and `make mlflow` start."""

import os
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from benchmarks.services import bare_environment, free_port
from flows.tools import prefectserver
from tests.support.servers import wait_for

RUNS = "/api/flow_runs/filter"


def test_the_api_answers_nobody_without_the_auth_string_but_the_health_check(guarded):
    assert guarded.ask(RUNS, {}).status == 401
    assert guarded.ask(RUNS, {}, auth="admin:pass").status == 401
    assert guarded.ask(RUNS, {}, auth=guarded.auth).status == 200
    assert guarded.ask("/api/health").status == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "169.254.1.1:{port}", "evil.example:{port}"]
)
@pytest.mark.parametrize("path", [RUNS, "/api/health", "/", "/ui-settings"])
def test_a_foreign_host_is_refused_whatever_it_asks(guarded, name, path):
    """DNS rebinding: a name of the attacker's that leads to 127.0.0.1."""
    name = name.format(port=guarded.url.rpartition(":")[2])
    answer = guarded.ask(path, {} if path == RUNS else None, guarded.auth, Host=name)
    assert answer.status == 403 and "localhost only" in answer.text


FOREIGN = ["http://evil.example", "null", "http://127.0.0.1:1", "https://{own}", ""]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_is_refused_even_with_the_auth_string(guarded, origin):
    own = guarded.url.removeprefix("http://")
    answer = guarded.ask(RUNS, {}, guarded.auth, Origin=origin.format(own=own))
    assert answer.status == 403 and "Access-Control-Allow-Origin" not in answer.headers


def test_own_pages_are_answered_under_both_names(guarded):
    for name in ("127.0.0.1", "localhost"):
        url = guarded.url.replace("127.0.0.1", name)
        host = url.removeprefix("http://")
        assert guarded.ask(RUNS, {}, guarded.auth, Host=host, Origin=url).status == 200


def test_a_foreign_page_opens_no_web_socket(guarded):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = guarded.url.replace("http", "ws") + "/api/events/out"
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin="http://evil.example")
    connect(address, origin=guarded.url, subprotocols=["prefect"]).close()


def test_the_auth_string_is_long_the_users_alone_and_never_in_the_log(guarded):
    profiles = guarded.home / "profiles.toml"
    assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
    assert len(guarded.auth) >= 32 and guarded.auth not in guarded.log.read_text()
    assert "profiles.toml" in guarded.log.read_text()  # where to find it


def test_the_server_listens_on_this_machine_only_and_a_taken_port_is_told(guarded):
    import psutil

    port = int(guarded.url.rpartition(":")[2])
    listening = [c.laddr for c in psutil.net_connections() if c.status == "LISTEN"]
    assert {address.ip for address in listening if address.port == port} == {"127.0.0.1"}
    before = (guarded.home / "profiles.toml").read_bytes()
    with pytest.raises(ValueError, match=f"port {port} is taken"):
        prefectserver.serve(port)
    assert (guarded.home / "profiles.toml").read_bytes() == before


def test_mlflows_server_refuses_foreign_hosts_and_origins(tmp_path, empty_store):
    """MLflow checks both by itself; `make mlflow` must not switch that off."""
    port = free_port()
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    env = bare_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    env |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"]
    url = f"http://127.0.0.1:{port}"
    create = f"{url}/api/2.0/mlflow/experiments/create"

    def status(address: str, body: bytes | None = None, **headers: str) -> int:
        sent = {"Content-Type": "application/json"} | headers
        request = urllib.request.Request(address, body, sent)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    with (tmp_path / "log").open("wb") as log:
        options = {"stdout": log, "stderr": log, "start_new_session": True}
        process = subprocess.Popen(command, cwd=tmp_path, env=env, **options)
    try:
        wait_for(lambda: process.poll() is not None or status(f"{url}/health") == 200, 300)
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert status(create, b'{"name": "own"}') == 200
        assert status(create, b'{"name": "a"}', Host="evil.example") == 403
        assert status(create, b'{"name": "b"}', Origin="http://evil.example") == 403
    finally:
        os.killpg(process.pid, 9)
        process.wait(10)
