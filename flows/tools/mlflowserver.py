"""MLflow's server and UI on mlflow.db, for this machine: `make mlflow`."""

import argparse
import os

from flows.cli.command import user_errors
from flows.tools.prefectserver import bound, port


def main() -> None:
    """Command line: see whether the port is free, which MLflow's exit code does not tell; serve."""
    parser = argparse.ArgumentParser(prog="python -m flows.mlflowserver", description=__doc__)
    parser.add_argument("--port", type=port, default=5000, help="default 5000")
    given = parser.parse_args()
    with user_errors():
        bound(given.port, "make mlflow MLFLOW_PORT=5001").close()
        place = ["--host", "127.0.0.1", "--port", str(given.port)]
        store = ["--backend-store-uri", "sqlite:///mlflow.db"]
        os.execvp("mlflow", ["mlflow", "server", *place, "--workers", "1", *store])


if __name__ == "__main__":
    main()
