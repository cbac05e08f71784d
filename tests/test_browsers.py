"""The Prefect server in a real browser: its own pages work, those of other origins get nothing."""

import functools
import http.server
import json
import shutil
import threading
from base64 import b64encode

import pytest


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
  outcome(fetch("SERVER/api/flow_runs/", {method: "POST", body})),  // simple: no preflight
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


def test_the_ui_asks_for_the_auth_string_and_shows_flow_runs(guarded, browser):
    flow = json.loads(guarded.ask("/api/flows/", {"name": "shown"}, guarded.auth).text)["id"]
    body = {"flow_id": flow, "name": "seen in the page", "state": {"type": "COMPLETED"}}
    assert guarded.ask("/api/flow_runs/", body, guarded.auth).status == 201
    page = browser.new_page()
    page.goto(guarded.url.replace("127.0.0.1", "localhost") + "/runs")
    page.locator("input[type=password]").fill(guarded.auth)
    page.keyboard.press("Enter")
    page.get_by_text("seen in the page").first.wait_for(timeout=120_000)
    page.close()
