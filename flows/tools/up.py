"""Start Prefect's server, MLflow's server and a worker here, in the background: `make up`.

What runs already is left alone, so that it may be said twice. All three answer this machine only;
process ids and logs lie in .tagdag/servers, and `python -m flows.down` ends them. The data bases
(~/.prefect, mlflow.db) stay: runs, registry and schedules are there after the next start.

    python -m flows.up --nightly "0 3 * * *"    the whole DAG every night, at 3:00 UTC
    python -m flows.up --nightly off            no longer
"""

import os
import time
from pathlib import Path

from flows.cli.command import parser, user_errors
from flows.running import deployments, prefectauth, services
from flows.running.orchestrate import progress
from flows.tools.prefectserver import bound, port
from flows.tracking.address import printable_uri, tracking_uri

FIRST = 300  # seconds to wait: the first start makes the tables of a data base
TOTAL = 3


def _begin(name: str, number: int) -> str:
    """Start a server unless it runs; its address."""
    if services.process_of(name):
        return services.kept(name)["url"]
    bound(number, f"python -m flows.up --{name} {number + 1}").close()
    url = f"http://127.0.0.1:{number}"
    command = ["-m", f"flows.{name}server", "--port", str(number)]
    services.start(name, command, url, os.environ)
    return url


def prefect_elsewhere() -> str | None:
    """The address of a Prefect server of this user that another folder, or a terminal, started."""
    api = prefectauth.prefect_profile().get("PREFECT_API_URL", "")
    if services.process_of("prefect") or not api or not services.answers(f"{api}/health"):
        return None
    return api.removesuffix("/api")


def mlflow_elsewhere() -> str | None:
    """The MLflow server that MLFLOW_TRACKING_URI names, without user and password; else None."""
    return tracking_uri() if tracking_uri().startswith("http") else None


def _worker(mlflow: str) -> None:
    """Start the worker unless it runs, and wait until the server knows that it does."""
    if services.process_of("worker"):
        return
    # a password in the user's own address stays where it is
    named = {} if mlflow_elsewhere() else {"MLFLOW_TRACKING_URI": mlflow}
    began = time.time()
    command = ["-m", "flows.prefectworker"]
    services.start("worker", command, "", os.environ | named)
    with deployments.client() as opened:
        services.wait_until("worker", lambda: deployments.worker_since(opened, began), FIRST)


def up(prefect_port: int, mlflow_port: int, nightly: str | None = None) -> list[str]:
    """Start what does not run; returns the lines that tell where all is."""
    deployments.check_nightly(nightly)
    with services.one_at_a_time(), progress("servers") as show:
        show(0, TOTAL, "Prefect and MLflow start")
        theirs, ours = prefect_elsewhere(), mlflow_elsewhere()
        prefect = theirs or _begin("prefect", prefect_port)
        mlflow = ours or _begin("mlflow", mlflow_port)
        if not theirs:
            health = f"{prefect}/api/health"
            services.wait_until("prefect", lambda: services.answers(health), FIRST)
        show(1, TOTAL, "Prefect answers")
        if not ours:
            health = f"{mlflow}/health"
            services.wait_until("mlflow", lambda: services.answers(health), FIRST)
        show(2, TOTAL, "MLflow answers; the flows are deployed")
        os.environ["PREFECT_API_URL"] = f"{prefect}/api"
        _worker(mlflow)
        told = deployments.set_nightly(nightly) if nightly else ""
        show(TOTAL, TOTAL, "the worker waits for runs")
    lines = [f"Prefect  {prefect}{' (was running)' if theirs else ''}"]
    lines += [f"MLflow   {printable_uri() if ours else mlflow}"]
    lines += [f"worker   of the pool {deployments.POOL}, in {Path.cwd()}"]
    return lines + [line for line in [told] if line]


HOW = f"""The page of Prefect asks once for PREFECT_API_AUTH_STRING ({{profiles}}).
prefect --profile tagdag deployment run pipeline/tagdag    a run now
logs: {services.FOLDER}; end: python -m flows.down"""


def main() -> None:
    """Command line."""
    command = parser("up", __doc__)
    command.add_argument("--prefect", type=port, default=4200, metavar="PORT", help="default 4200")
    default = int(os.environ.get("MLFLOW_PORT") or 5000)
    command.add_argument("--mlflow", type=port, default=default, metavar="PORT", help="5000")
    help_ = "run the whole DAG at these times (UTC), as '0 3 * * *'; off: no longer"
    command.add_argument("--nightly", metavar="CRON", help=help_)
    options = command.parse_args()
    with user_errors():
        print("\n".join(up(options.prefect, options.mlflow, options.nightly)))
        print(HOW.format(profiles=prefectauth.profiles_path()))


if __name__ == "__main__":
    main()
