"""A real browser: Prefect's own pages work, those of other origins get nothing.

The reports need nothing.

The reports are opened as files, without a network, as wide as a screen and as a phone.
"""

import functools
import http.server
import json
import threading
from base64 import b64encode
from pathlib import Path

import pytest

from corpus.report.page import write_report
from flows.reports.models import files
from flows.reports.search.page import write_page
from flows.reports.versions.page import page as page_of_versions
from tests.flows.reports.test_report import NASTY, findings
from tests.support.modelreports import CLASSES, Made
from tests.support.searches import search
from tests.support.versions import two


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


def models_page() -> Path:
    """The report of models with all its sections, some names long and odd."""
    made = Made(
        [*CLASSES, "a class of a very long name, longer than a phone is wide", NASTY[0]]
    ).all()
    made.models[0] |= {"busy": "load", "duplicates": 5}
    ids = [key for key, _ in made.tests[:5]]
    made.duplicates = [("scenes", key, f"post-{i}", "learnt") for i, key in enumerate(ids)]
    made.write()
    links = {"all versions": "http://127.0.0.1:5000/#/models/" + "long" * 30}
    origin = {"tagdag.data": "0123456789abcdef" * 3}
    files.write(Path("models"), made.outcomes(), origin, links)
    return Path("models/report.html")


def versions_page() -> Path:
    """The page of versions, one name longer than a phone is wide."""
    findings = two([*CLASSES, "a class of a very long name, longer than a phone is wide", NASTY[0]])
    Path("versions.html").write_text(page_of_versions(findings), encoding="utf-8")
    return Path("versions.html")


def search_page() -> Path:
    about = {"space": {"name": "regnetx", "flops": [3e6, 5e6]}, "versions": "x" * 90}
    Path("search").mkdir()
    write_page(Path("search"), search(16), [], about)
    return Path("search/report.html")


def corpus_page() -> Path:
    write_report(Path("corpus.html"), findings())
    return Path("corpus.html")


WIDEST = """[...document.querySelectorAll("body *")].map(one =>
  [one.getBoundingClientRect().right, one.tagName, one.className.toString()])
  .filter(([right]) => right > innerWidth)"""  # what a test that fails shows


@pytest.mark.parametrize("width", [1300, 400])
@pytest.mark.parametrize(
    "made",
    [models_page, versions_page, search_page, corpus_page],
    ids=lambda made: made.__name__,
)
def test_a_report_needs_no_network_and_fits_a_phone(browser, place, made, width):
    address = made().resolve().as_uri()
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900})
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url))
    page.goto(address)
    assert [each for each in told if not each.startswith(("data:", address))] == []
    wide = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(wide) <= width, page.evaluate(WIDEST)
    broken = "[...document.images].filter(image => image.complete && !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    context.close()
