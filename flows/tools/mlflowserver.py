"""MLflow's server and UI on mlflow.db, for this machine: `make mlflow`.

Where MLFLOW_TRACKING_URI names a data base, on that one.
"""

import argparse
import os

from flows.cli.command import user_errors
from flows.tools.prefectserver import bound, port
from flows.tracking import store
from flows.tracking.address import printable_uri, sqlite_file, tracking_uri


def prepare() -> None:
    """Name the store to the server, made or moved as the pipeline would have it.

    An experiment that the server makes by itself has its files behind it, where a pipeline that
    writes to the data base cannot reach them.
    """
    if tracking_uri().startswith("http"):
        raise ValueError(
            f"MLFLOW_TRACKING_URI names a server already ({printable_uri()}): unset it to serve "
            "mlflow.db here"
        )
    file = sqlite_file()
    if file and file.exists():
        store.reach_store()  # without MLflow, whose import takes seconds
    else:
        store.connect()
    # not as an argument, which every user of the machine may read: it may hold a password
    os.environ["MLFLOW_BACKEND_STORE_URI"] = tracking_uri()
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def main() -> None:
    """Command line: see whether the port is free, which MLflow's exit code does not tell; serve."""
    parser = argparse.ArgumentParser(prog="python -m flows.mlflowserver", description=__doc__)
    parser.add_argument("--port", type=port, default=5000, help="default 5000")
    given = parser.parse_args()
    with user_errors():
        bound(given.port, "make mlflow MLFLOW_PORT=5001").close()
        prepare()
        place = ["--host", "127.0.0.1", "--port", str(given.port)]
        os.execvp("mlflow", ["mlflow", "server", *place, "--workers", "1"])


if __name__ == "__main__":
    main()
