"""What a flow run may ask of the worker that `make worker` starts."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import cleaned

ROOT = Path(__file__).parents[3]


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
