"""Who may speak to the servers that `make prefect` and `make mlflow` start, and what a run may ask of a worker."""

import asyncio
import functools
import http.server
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest

from flows import prefectauth, prefectserver
from flows.orchestrate import flow
from tests.conftest import free_port
from tests.servers import cleaned, wait_for

pytestmark = pytest.mark.xdist_group("prefect")
ROOT = Path(__file__).parents[1]
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


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://{own}", ""])
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


# clients


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of Prefect's with our profile in it; nothing in the environment."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    text = '[profiles.tagdag]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\nPREFECT_API_AUTH_STRING = "kept"\n'
    (tmp_path / "profiles.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://127.0.0.1:4200/api", "kept"),
        ("http://localhost:4200/api", "kept"),
        ("http://127.0.0.1:4201/api", None),
        ("https://prefect.example/api", None),
        ("http://127.0.0.1.evil.example:4200/api", None),
        (None, None),
    ],
)
def test_only_the_server_it_was_made_for_gets_the_auth_string(home, monkeypatch, url, sent):
    if url:
        monkeypatch.setenv("PREFECT_API_URL", url)
    prefectauth.authenticate()
    got = os.environ.get("PREFECT_API_AUTH_STRING")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    assert got == sent


def test_an_auth_string_of_the_users_stays(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "theirs")
    prefectauth.authenticate()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "theirs"


def test_a_first_use_of_a_flow_takes_the_auth_string(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "restored at the end")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    flow(lambda: 1).prefect()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "kept"


def test_other_profiles_of_the_user_stay(home):
    other = '[profiles.work]\nPREFECT_API_URL = "https://prefect.example/api"\n'
    (home / "profiles.toml").write_text('active = "work"\n' + other)
    code = "from flows.prefectauth import keep; keep('http://127.0.0.1:4300/api', 'new')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    text = (home / "profiles.toml").read_text()
    assert 'active = "work"' in text and other in text
    assert prefectauth.profile() == {
        "PREFECT_API_URL": "http://127.0.0.1:4300/api",
        "PREFECT_API_AUTH_STRING": "new",
    }
    assert stat.S_IMODE((home / "profiles.toml").stat().st_mode) == 0o600


def test_a_broken_profiles_file_is_told(home):
    (home / "profiles.toml").write_text("[broken")
    with pytest.raises(ValueError, match="not TOML"):
        prefectauth.profile()


# work pools


@pytest.fixture(scope="module")
def pool(guarded):
    """What `make worker` does, until the worker has looked for runs once; its environment."""
    env = cleaned() | {"PREFECT_HOME": str(guarded.home), "PREFECT_API_URL": f"{guarded.url}/api"}
    work = [sys.executable, "-m", "flows.prefectworker", "--run-once"]
    done = subprocess.run(work, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert guarded.auth not in done.stdout + done.stderr
    return env


@pytest.mark.parametrize("variable", ["command", "env", "working_dir", "env.PYTHONPATH"])
def test_a_flow_run_cannot_set_what_is_executed(guarded, pool, variable):
    deployments = {row["name"]: row["id"] for row in guarded.rows("deployments")}
    assert {"tagdag", "tagdag-import"} <= deployments.keys()
    path = f"/api/deployments/{deployments['tagdag']}/create_flow_run"
    body = {"job_variables": {variable: "touch /tmp/foreign"}, "state": {"type": "SCHEDULED"}}
    answer = guarded.ask(path, body, guarded.auth)
    assert answer.status in (409, 422) and "not allowed" in answer.text


def test_what_a_job_would_execute_is_not_taken_from_variables_that_passed_the_check_elsewhere():
    """A run that was made before the pool had this template, or changed in the data base."""
    from prefect.workers.process import ProcessJobConfiguration

    template = json.loads((ROOT / "flows" / "jobtemplate.json").read_text())
    variables = {"command": "touch foreign", "env": {"PATH": "/foreign"}, "working_dir": "/foreign"}
    made = ProcessJobConfiguration.from_template_and_values(template, variables, client=object())
    job = asyncio.run(made)
    assert (job.command, job.env, job.working_dir) == (None, {}, None)


def test_commands_of_the_user_find_the_server_by_the_profile(guarded, pool):
    env = {key: value for key, value in pool.items() if key != "PREFECT_API_URL"}
    listing = [sys.executable, "-m", "prefect", "--profile", "tagdag", "deployment", "ls"]
    done = subprocess.run(listing, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert "pipeline/tagdag" in done.stdout and "watch/tagdag-import" in done.stdout


# browsers


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no Chromium on this machine: make browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def foreign(tmp_path):
    """A web server of somebody else's: its address, and the folder of its pages."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
        server.shutdown()


ATTACK = """<script>
const body = JSON.stringify({name: "attack", flow_id: "00000000-0000-0000-0000-000000000000"});
const json = {"Content-Type": "application/json", "Authorization": "Basic AUTH"};
const outcome = promise => promise.then(answer => "answered " + answer.status, () => "refused");
const socket = () => new Promise((open, fail) => {
  const made = new WebSocket("SERVER/api/events/out".replace("http", "ws"), "prefect");
  made.onopen = () => open({status: "open"});
  made.onerror = fail;
});
Promise.all([
  outcome(fetch("SERVER/api/flow_runs/", {method: "POST", headers: json, body})),
  outcome(fetch("SERVER/api/flow_runs/", {method: "POST", body})),  // a simple request: no preflight
  outcome(fetch("SERVER/api/health")),
  outcome(socket()),
]).then(all => document.title = all.join(","));
</script>"""


def test_a_page_of_another_origin_gets_nothing_in_a_real_browser(guarded, browser, foreign):
    address, folder = foreign
    auth = b64encode(guarded.auth.encode()).decode()  # even a page that knew it
    (folder / "attack.html").write_text(ATTACK.replace("SERVER", guarded.url).replace("AUTH", auth))
    page = browser.new_page()
    page.goto(f"{address}/attack.html")
    page.wait_for_function("document.title")
    assert page.title() == "refused,refused,refused,refused"
    assert "attack" not in {row["name"] for row in guarded.rows("flow_runs")}
    page.close()


def test_the_ui_asks_for_the_auth_string_and_shows_flow_runs(guarded, pool, browser):
    [deployment] = [row["id"] for row in guarded.rows("deployments") if row["name"] == "tagdag"]
    path = f"/api/deployments/{deployment}/create_flow_run"
    body = {"name": "seen in the page", "state": {"type": "COMPLETED"}}  # no worker takes it up
    guarded.ask(path, body, guarded.auth)
    page = browser.new_page()
    page.goto(guarded.url.replace("127.0.0.1", "localhost") + "/runs")
    page.locator("input[type=password]").fill(guarded.auth)
    page.keyboard.press("Enter")
    page.get_by_text("seen in the page").first.wait_for(timeout=30_000)
    page.close()


# MLflow


def test_mlflows_server_refuses_foreign_hosts_and_origins(tmp_path, empty_store):
    """MLflow checks both by itself; `make mlflow` must not switch that off."""
    port = free_port()
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    env = cleaned() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"]
    url = f"http://127.0.0.1:{port}"
    create = f"{url}/api/2.0/mlflow/experiments/create"

    def status(address: str, body: bytes | None = None, **headers: str) -> int:
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"} | headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or status(f"{url}/health") == 200, 300)
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert status(create, b'{"name": "own"}') == 200
        assert status(create, b'{"name": "a"}', Host="evil.example") == 403
        assert status(create, b'{"name": "b"}', Origin="http://evil.example") == 403
    finally:
        os.killpg(process.pid, 9)
        process.wait(10)
