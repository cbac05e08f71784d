"""What a flow run may ask of the worker that `make worker` starts, and what the server does for
it: parameters checked, schedules kept, tries after an outage, a person's approval.
"""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.services import bare_environment
from flows.registry import approval
from flows.running import artifacts, deployments
from flows.running.orchestrate import flow, task
from flows.tracking.again import stage_settings
from tests.support.servers import wait_for

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pool(guarded):
    """What `make worker` does, until the worker has looked for runs once; its environment."""
    env = bare_environment() | {
        "PREFECT_HOME": str(guarded.home),
        "PREFECT_API_URL": f"{guarded.url}/api",
    }
    work = [sys.executable, "-m", "flows.prefectworker", "--run-once"]
    done = subprocess.run(work, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert guarded.auth not in done.stdout + done.stderr
    return env


def deployed(guarded) -> dict[str, dict]:
    """Deployments by name."""
    return {row["name"]: row for row in guarded.rows("deployments")}


def test_every_deployment_has_a_schedule_that_sleeps_and_a_form_that_is_checked(guarded, pool):
    found = deployed(guarded)
    assert found.keys() == {"tagdag", "tagdag-search", "tagdag-import", "tagdag-evaluate"}
    for each in found.values():
        assert [schedule["active"] for schedule in each["schedules"]] == [False]
        form = each["parameter_openapi_schema"]["properties"]
        assert each["enforce_parameter_schema"] and "register" in form["targets"]["items"]["enum"]
        assert all(field.get("description") for field in form.values())
    limits = json.loads(guarded.ask("/api/v2/concurrency_limits/filter", {}, guarded.auth).text)
    assert [each["limit"] for each in limits if each["name"] == "gpu"] == [1]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tagdag", {"targets": ["registr"]}),
        ("tagdag", {"force": "certainly"}),
        ("tagdag", {"approval_hours": -1}),
        ("tagdag-import", {"target": "../data"}),
    ],
)
def test_parameters_that_are_none_are_refused_before_a_run_begins(guarded, pool, name, parameters):
    path = f"/api/deployments/{deployed(guarded)[name]['id']}/create_flow_run"
    answer = guarded.ask(path, {"parameters": parameters}, guarded.auth)
    assert answer.status == 409 and "Error creating flow run" in answer.text


@pytest.fixture
def client(guarded, monkeypatch):
    """This process is one of that server's: Prefect's client, as the code asks for it."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    url = f"{guarded.url}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", guarded.auth)
    with (
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: guarded.auth}),
        deployments.client() as opened,
    ):
        yield opened


def test_a_schedule_that_a_person_has_set_outlives_the_next_deployment(guarded, pool, client):
    assert deployments.set_nightly("15 2 * * *") == "pipeline/tagdag runs at 15 2 * * * (UTC)"
    before = deployments.schedules(client)
    [nightly] = before["pipeline/tagdag"]
    for schedules in (before["pipeline/tagdag"], before["watch/tagdag-import"]):
        client.delete_deployment_schedule(schedules[0].deployment_id, schedules[0].id)
    from prefect.client.schemas.schedules import CronSchedule

    # what prefect.yaml says now: active, and of another time
    there = client.read_deployment_by_name("watch/tagdag-import").id
    asked = [(CronSchedule(cron="0 1 * * *"), True)]
    client.create_deployment_schedules(there, asked, slug="nightly")
    deployments.keep_schedules(client, before)
    after = deployments.schedules(client)
    kept = [(each.slug, each.active, each.schedule.cron) for each in after["pipeline/tagdag"]]
    assert kept == [("nightly", True, nightly.schedule.cron)]
    assert [each.schedule.cron for each in after["watch/tagdag-import"]] == ["0 1 * * *"]
    assert deployments.set_nightly("off") == "no nightly run"
    assert [each.active for each in deployments.schedules(client)["pipeline/tagdag"]] == [False]


def test_an_outage_is_tried_again_a_bug_is_not_and_a_limit_ends_a_stage(client, monkeypatch):
    import time

    monkeypatch.setenv("TAGDAG_RETRIES", "2")
    monkeypatch.setenv("TAGDAG_RETRY_SECONDS", "0.01")
    monkeypatch.setenv("TAGDAG_STAGE_HOURS", f"{1.5 / 3600}")
    calls = []

    @task(late=stage_settings)
    def stage(name: str) -> str:
        calls.append(name)
        if name == "away" and len(calls) < 3:
            raise ConnectionError("the data base")
        if name == "bug":
            raise KeyError("head")
        if name == "long":
            for _ in range(400):
                time.sleep(0.05)
        return name

    @flow
    def stages(name: str) -> str:
        return stage(name)

    assert stages("away") == "away" and calls == ["away"] * 3
    for name, error in (("bug", KeyError), ("long", TimeoutError)):
        with pytest.raises(error):
            stages(name)
    assert calls[3:] == ["bug", "long"]


@pytest.mark.parametrize(("answer", "word"), [(True, "approved"), (False, "refused")])
def test_a_run_waits_for_a_person_who_says_yes_or_no_and_why(
    guarded, client, monkeypatch, answer, word
):
    monkeypatch.setenv("TAGDAG_APPROVAL", "0.005")
    monkeypatch.setattr(approval, "POLL", 0.1)
    told = []

    @task
    def name_champion() -> tuple[bool, str]:
        return approval.approved("tagdag", "7", "its interval lies above")

    @flow
    def register() -> None:
        artifacts.table_artifact("models", [{"model": "winner", "version": "7"}], "all")
        told.append(name_champion())

    def person() -> None:
        state = {"state": {"type": {"any_": ["PAUSED"]}}}
        [run] = wait_for(lambda: guarded.rows("flow_runs", flow_runs=state), 60)
        told.append(run["name"])
        given = {"run_input": {"approve": answer, "reason": "seen\nat night"}}
        path = f"/api/flow_runs/{run['id']}/resume"
        # refused until the form is there, which comes a moment after the pause
        wait_for(lambda: "ACCEPT" in guarded.ask(path, given, guarded.auth).text, 60)

    other = threading.Thread(target=person)
    other.start()
    register()
    other.join()
    assert told == ["register", (answer, f"{word}: seen at night")]
    assert {"models"} <= {row["key"] for row in guarded.rows("artifacts")}


def test_nobody_answers_and_the_challenger_stays_one(client, monkeypatch):
    monkeypatch.setenv("TAGDAG_APPROVAL", f"{1 / 3600}")
    monkeypatch.setattr(approval, "POLL", 0.1)

    @flow
    def register() -> tuple[bool, str]:
        return approval.approved("tagdag", "7", "why")

    consents, told = register()
    assert not consents and "python -m flows.promote 7 --reason" in told


def test_trainings_take_the_slot_of_the_gpu_where_there_is_one(client, monkeypatch):
    def slots() -> int:
        return client.read_global_concurrency_limit_by_name(deployments.GPU).active_slots

    monkeypatch.setattr(deployments, "gpu_count", lambda: 1)
    with deployments.gpu_slot():
        assert slots() == 1
    assert slots() == 0
    monkeypatch.setattr(deployments, "gpu_count", lambda: 0)
    with deployments.gpu_slot():
        assert slots() == 0


@pytest.mark.parametrize("variable", ["command", "env", "working_dir", "env.PYTHONPATH"])
def test_a_flow_run_cannot_set_what_is_executed(guarded, pool, variable):
    path = f"/api/deployments/{deployed(guarded)['tagdag']['id']}/create_flow_run"
    body = {"job_variables": {variable: "touch /tmp/foreign"}, "state": {"type": "SCHEDULED"}}
    answer = guarded.ask(path, body, guarded.auth)
    assert answer.status in (409, 422) and "not allowed" in answer.text


def test_what_a_job_would_execute_is_not_taken_from_variables_that_passed_the_check_elsewhere():
    """A run that was made before the pool had this template, or changed in the data base."""
    from prefect.workers.process import ProcessJobConfiguration

    template = json.loads((ROOT / "prefect-job-template.json").read_text())
    variables = {"command": "touch foreign", "env": {"PATH": "/foreign"}, "working_dir": "/foreign"}
    made = ProcessJobConfiguration.from_template_and_values(template, variables, client=object())
    job = asyncio.run(made)
    assert (job.command, job.env, job.working_dir) == (None, {}, None)


def test_commands_of_the_user_find_the_server_by_the_profile(guarded, pool):
    env = {key: value for key, value in pool.items() if key != "PREFECT_API_URL"}
    listing = [sys.executable, "-m", "prefect", "--profile", "tagdag", "deployment", "ls"]
    done = subprocess.run(listing, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert "pipeline/tagdag" in done.stdout and "watch/tagdag-import" in done.stdout
