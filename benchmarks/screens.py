"""The servers of `make up` as a person sees them: a scheduled run, pictures, and a restart.

    python -m benchmarks.screens [--out]

In a clone of this repository's HEAD with a small drawn sample: the pipeline runs once, the servers
start, a parameter changes, and the nightly schedule, set to the next minute, runs the stages that
changed. A headless Chromium looks at the pages of both servers. Then the servers are ended and
started again, and what both know is counted before and after. --out keeps pictures and table
in benchmarks/results.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.clone import SMALL, checkout, committed, overlaid, python, sampled
from benchmarks.services import auth_string, free_port

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WAIT, LOADS = 60_000, 3  # milliseconds for what a page shows; how often it is opened
VIEW = {"width": 1200, "height": 760}
KINDS = ("task_runs", "artifacts", "deployments")  # of Prefect's rows
SEEN = 600  # seconds for the scheduled run


@contextmanager
def servers(work: Path, prefect: int, mlflow: int) -> Iterator[dict[str, str]]:
    """The servers of a clone, by `flows.up` and `flows.down`; their addresses."""
    ports = ("--prefect", str(prefect), "--mlflow", str(mlflow))
    try:
        python(work, "flows.up", *ports)
        yield {
            "prefect": f"http://127.0.0.1:{prefect}",
            "mlflow": f"http://127.0.0.1:{mlflow}",
        }
    finally:
        subprocess.run([sys.executable, "-m", "flows.down"], cwd=work, check=False)


def rows(url: str, auth: str, what: str) -> list[dict[str, Any]]:
    """All rows of one kind that a Prefect server has."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Basic {b64encode(auth.encode()).decode()}"} if auth else {}
    request = urllib.request.Request(f"{url}/api/{what}/filter", b"{}", headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium; ValueError where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise ValueError("no Chromium on this machine: make browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


def prefect_page(browser: Any, url: str, auth: str) -> Any:
    """A page of Prefect's UI, the auth string given where the server asks for one."""
    page = browser.new_page(viewport=VIEW)
    page.goto(f"{url}/runs")
    if auth:
        page.locator("input[type=password]").fill(auth, timeout=WAIT)
        page.keyboard.press("Enter")
    page.get_by_text("Flow runs").first.wait_for(timeout=WAIT)
    return page


def see(page: Any, address: str, *texts: str, file: Path | None = None) -> None:
    """Open an address and wait until it shows all texts; keep a picture."""
    from playwright.sync_api import TimeoutError as TooLate

    for left in reversed(range(LOADS)):
        page.goto(address)
        try:
            return see_texts(page, *texts, file=file)
        except TooLate:
            # a page does not ask again for what a busy server did not give in time
            if not left:
                raise


def see_prefect(page: Any, url: str, auth: str, out: Path | None = None) -> None:
    """The scheduled run with its stages, and the artifacts of its register stage."""
    runs = {row["name"]: row["id"] for row in rows(url, auth, "flow_runs")}
    shown = {row["key"]: row["id"] for row in rows(url, auth, "artifacts")}
    files = {name: out and out / f"{name}.png" for name in ("prefect", "prefect_models")}
    run = f"{url}/runs/flow-run/{runs['pipeline']}"
    see(page, run, "Completed", file=files["prefect"])
    see(page, f"{run}?tab=Task%20Runs", "evaluate@scenes", "register", "corpus")
    table = f"{url}/artifacts/artifact/{shown['models']}"
    see(page, table, "top1_mean", "winner-hashtags", file=files["prefect_models"])
    see(page, f"{url}/artifacts/artifact/{shown['report']}", "Models compared")
    see(page, f"{url}/artifacts/artifact/{shown['comparison']}", "The headline against latency")
    broken = "[...document.images].filter(one => one.complete && !one.naturalWidth).length"
    assert page.evaluate(broken) == 0, "the picture is not shown"


ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""


def mlflow_page(browser: Any) -> Any:
    """A page of MLflow's UI, without the assistant that it opens beside it."""
    page = browser.new_page(viewport=VIEW)
    page.add_init_script(ASSISTANT)
    return page


def compared(store: Path) -> tuple[dict[str, str], list[str]]:
    """(runs by version: champion, challenger and the first; the aliases) of a SQLite store."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{store}")
    aliases = client.get_registered_model("tagdag").aliases
    wanted = sorted({"1", *map(str, aliases.values())}, key=int)
    return {each: client.get_model_version("tagdag", each).run_id for each in wanted}, list(aliases)


def see_mlflow(page: Any, url: str, store: Path, out: Path | None = None) -> None:
    """The tree of runs, the versions with their aliases, and MLflow's own comparison."""
    names = ("mlflow", "mlflow_versions", "mlflow_compare")
    files = {name: out and out / f"{name}.png" for name in names}
    see(page, f"{url}/#/experiments/1/runs?workflowType=machine_learning", "Run Name")
    page.locator("[data-component-id*=runnamecellrenderer]").first.click(timeout=WAIT)
    see_texts(page, "register", "evaluate", file=files["mlflow"])
    runs, aliases = compared(store)
    see(page, f"{url}/#/models/tagdag", "Versions")
    see_texts(page, *(f"@ {alias}" for alias in aliases), file=files["mlflow_versions"])
    asked = f"name={quote(json.dumps('tagdag'))}&runs={quote(json.dumps(runs))}"
    see(page, f"{url}/#/compare-model-versions?{asked}", "Comparing")
    # scrolls to it, and unlike Playwright's own scrolling goes on where the page draws it anew
    page.get_by_text("top1_mean").first.hover(trial=True, timeout=WAIT)
    see_texts(page, "top1_mean", "latency_p50_ms", file=files["mlflow_compare"])


def see_texts(page: Any, *texts: str, file: Path | None = None) -> None:
    """Wait for texts of the page that is open; keep a picture."""
    for text in texts:
        page.get_by_text(text).first.wait_for(timeout=WAIT)
    if file:
        page.wait_for_timeout(2500)  # charts move into their places
        page.screenshot(path=file)


def counted(urls: dict[str, str], auth: str, store: Path) -> dict[str, int]:
    """What both servers know; MLflow's by its API."""
    import mlflow

    client = mlflow.MlflowClient(urls["mlflow"])
    found = {what: len(rows(urls["prefect"], auth, what)) for what in KINDS}
    runs = rows(urls["prefect"], auth, "flow_runs")
    # without those of the days to come, which are planned anew whenever the flows are deployed
    found["flow runs that have ended"] = sum(bool(row["end_time"]) for row in runs)
    deployments = rows(urls["prefect"], auth, "deployments")
    schedules = itertools.chain.from_iterable(row["schedules"] for row in deployments)
    found["active schedules"] = sum(each["active"] for each in schedules)
    found["runs in MLflow"] = len(client.search_runs(["1"], max_results=5000))
    found["registered versions"] = len(client.search_model_versions("name = 'tagdag'"))
    found["aliases"] = len(client.get_registered_model("tagdag").aliases)
    return found


def scheduled_run(work: Path, urls: dict[str, str], auth: str) -> float:
    """Set the nightly schedule to the next minute but one; seconds until its run has ended."""
    due = datetime.now(UTC) + timedelta(minutes=2)
    cron = f"{due.minute} {due.hour} * * *"
    python(work, "flows.up", "--nightly", cron)
    start = time.monotonic()
    while time.monotonic() - start < SEEN:
        mine = [row for row in rows(urls["prefect"], auth, "flow_runs") if row["auto_scheduled"]]
        ended = [row for row in mine if row["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
        if ended:
            assert ended[0]["state_type"] == "COMPLETED", ended[0]["state"]
            return ended[0]["total_run_time"]
        time.sleep(2)
    raise ValueError(f"no scheduled run has ended within {SEEN} s")


def story(work: Path, home: Path, out: Path | None) -> list[str]:
    """All of it in a clone; the lines of the table."""
    python(work, "flows.pipeline")
    overlaid(work, {"evaluate": {"runs": 4}})
    ports, store = (free_port(), free_port()), work / "mlflow.db"
    with servers(work, *ports) as urls:
        auth = auth_string(home)
        took = scheduled_run(work, urls, auth)
        with chromium() as browser:
            see_prefect(prefect_page(browser, urls["prefect"], auth), urls["prefect"], auth, out)
            see_mlflow(mlflow_page(browser), urls["mlflow"], store, out)
        before = counted(urls, auth, store)
    begun = time.monotonic()
    with servers(work, *ports) as urls:
        again = time.monotonic() - begun
        after = counted(urls, auth, store)
    lines = [f"The scheduled run took {took:.0f} s; the servers start again in {again:.0f} s.", ""]
    lines += ["| | before `down` | after `up` |", "| --- | --- | --- |"]
    return lines + [f"| {what} | {before[what]} | {after[what]} |" for what in before]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", action="store_true", help="keep pictures and table in results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work, home = Path(name) / "clone", Path(name) / "prefect"
        checkout(ROOT, work)
        overlaid(work, SMALL)
        sampled(work)
        committed(work, "a small DAG")
        os.environ["PREFECT_HOME"] = str(home)  # nothing of the user's own server
        lines = story(work, home, RESULTS if options.out else Path(name))
    cores, load = os.cpu_count(), os.getloadavg()[0]
    head = f"{date.today()}, {cores} cores, load {load:.1f}; `python -m benchmarks.screens`"
    text = "\n".join(["# A restart of the servers", "", head, "", *lines]) + "\n"
    print(text)
    if options.out:
        (RESULTS / "servers.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
