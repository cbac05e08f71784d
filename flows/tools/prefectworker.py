"""Make the work pool `tagdag`, deploy what prefect.yaml names, and work for it: `make worker`.

The job template of the pool (prefect-job-template.json) has no command, no environment and no
working folder, as Prefect's own has: a flow run can ask for nothing but the deployed flow. What a
person has set about schedules on the server stays (flows/running/deployments.py).
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from flows.cli.command import user_errors
from flows.running import deployments
from flows.running.deployments import POOL
from flows.running.prefectauth import authenticate, prefect_profile

TEMPLATE = Path("prefect-job-template.json")  # beside prefect.yaml
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]


def prefect(*arguments: str | Path) -> None:
    """One call of Prefect's command line; ValueError if it fails (it has said why)."""
    if subprocess.run([*PREFECT, *arguments], check=False).returncode:
        asked = f"prefect {arguments[0]} {arguments[1]}"
        raise ValueError(f"{asked} failed: see that `make prefect` runs, and what it says above")


def work(*arguments: str) -> None:
    """Deploy, then become the worker; `arguments` go to `prefect worker start`."""
    ours = prefect_profile().get("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    os.environ.setdefault("PREFECT_API_URL", ours)
    authenticate()
    pool = ("work-pool", "create", POOL, "--type", "process", "--overwrite")
    prefect(*pool, "--base-job-template", TEMPLATE)
    with deployments.client() as opened:
        deployments.make_gpu_limit(opened)
        before = deployments.schedules(opened)
        prefect("deploy", "--all")
        deployments.keep_schedules(opened, before)
    start = ("worker", "start", "--pool", POOL, "--limit", "1", "--install-policy", "never")
    os.execv(PREFECT[0], [*PREFECT, *start, *arguments])


def main() -> None:
    """Command line of the worker."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.prefectworker",
        description=__doc__,
        epilog="PREFECT_API_URL names the server (default: that of `make prefect`). "
        "All other options are those of `prefect worker start`, for example --run-once.",
    )
    _, arguments = parser.parse_known_args()
    with user_errors():
        work(*arguments)


if __name__ == "__main__":
    main()
