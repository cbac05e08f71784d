"""MLflow's own pages, in a real browser on a real server: each version shows its own numbers."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.services import free_port
from flows.running import settings
from flows.tracking import tracking
from flows.tracking.address import ui_address
from tests.support.records import record, registered

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 60_000  # milliseconds that a page may take on a busy machine


@contextmanager
def server(folder: Path):
    """`make mlflow` on a free port over folder/mlflow.db; its address."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += [
        "--port",
        url.rpartition(":")[2],
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
    ]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    env.pop("MLFLOW_TRACKING_URI")
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=env, start_new_session=True
        )
    try:
        answers(url, process, folder)
        yield url
    finally:
        os.killpg(process.pid, 15)  # its worker does not end with it
        process.wait(30)


def answers(url: str, process: subprocess.Popen, folder: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
    pytest.fail("the server does not answer")


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        shown = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = shown.new_page()
        page.set_default_timeout(PATIENCE)
        yield page
        shown.close()


def rows(page) -> dict[str, list[str]]:
    """The rows of the page's tables by their first cell.

    One call, as a page has hundreds of cells.
    """
    cells = page.evaluate(
        "() => [...document.querySelectorAll('tr')].map("
        "row => [...row.querySelectorAll('th, td')].map(cell => cell.innerText.trim()))"
    )
    return {row[0]: row[1:] for row in reversed(cells) if row}


def address(title: str, url: str) -> str:
    """A page of MLflow that the report names, on the test's server."""
    report = (settings.OUT / "register/report.md").read_text()
    [line] = [line for line in report.splitlines() if line.startswith(f"- {title}: ")]
    return line.partition("`")[2].rstrip("`").replace(ui_address(), url)


def test_mlflow_shows_the_numbers_of_each_version(place, browser):
    one = record("a", 60, 60, 50, params=1.5e6)
    two = record("b", 70, 99, 55, params=2.5e6, size=40)
    assert "is now version 1" in registered(one)
    assert "stays version 1" in registered(one, two)
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    model = client.get_model_version("models", "2").tags["tagdag.model_id"]
    with server(place) as url:
        browser.goto(address("champion and challenger compared", url))
        browser.get_by_text("Comparing 2 Versions").wait_for()
        browser.locator("tr", has_text="val_top1").first.wait_for()
        shown = rows(browser)
        assert shown["Model Version:"] == ["1", "2"]
        assert shown["top1"] == ["60", "70"] and shown["params"] == ["1500000", "2500000"]
        assert shown["candidate"] == ['"a"', '"b"'] and shown["size"] == ["32", "40"]
        browser.get_by_role("switch").nth(2).click()  # "Show diff only" of the schema
        browser.locator("tr", has_text="image: binary").first.wait_for()
        assert ["class: string"] * 2 in rows(browser).values()
        browser.goto(f"{url}/#/models/models/versions/2")
        browser.get_by_text("Inputs (1)").wait_for()  # the schema
        browser.goto(
            f"{url}/#/experiments/{experiment}/models/{model}?workflowType=machine_learning"
        )
        browser.get_by_text("Model versions").wait_for()
        browser.get_by_text("Datasets used").wait_for()
        text = browser.inner_text("body")
        assert "Model versions\nmodels\nv2" in text and "Not registered" not in text
        assert "Datasets used\ntargets/scenes (#t)" in text
        assert "Parameters (18)" in text and "network.backbone.depth\n3" in text
        browser.goto(address("all runs", url))
        browser.get_by_text("matching run").wait_for()  # the classical page
