"""What a team shares, as ordinary processes of this machine: PostgreSQL, S3, MLflow's server and
Prefect's, the last two with their tables in PostgreSQL and MLflow's files on S3.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.postgres import Postgres, postgres
from benchmarks.s3 import S3, s3_server
from benchmarks.services import auth_string, bare_environment, free_port

ROOT = Path(__file__).resolve().parents[1]
BUCKET = "team"
START = 300  # seconds for a server on a machine that does other work


class Program:
    """A server of one command: it listens at `url`, and outlives neither `stop` nor us."""

    def __init__(self, module: str, health: str, env: dict[str, str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.module, self.health, self.env, self.folder = module, health, env, folder
        self.log = folder / f"{module}.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", self.module, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.env | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{self.module} does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.3)

    def _healthy(self) -> bool:
        try:
            return urllib.request.urlopen(self.url + self.health, timeout=5).status == 200
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """Stop it and its workers as a crash would."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait(30)


class Team:
    """The four services; `services` by name, each with `start` and `stop`."""

    def __init__(self, base: Postgres, s3: S3, folder: Path) -> None:
        self.s3 = s3
        s3.client().create_bucket(Bucket=BUCKET)
        bare = bare_environment("AWS_") | s3.env
        self.bases = {name: base.base(name) for name in ("mlflow", "search", "prefect")}
        files = {"TAGDAG_ARTIFACTS": f"s3://{BUCKET}/mlflow"}
        self.mlflow = Program(
            "flows.mlflowserver",
            "/health",
            bare | files | {"MLFLOW_TRACKING_URI": self.bases["mlflow"]},
            folder,
        )
        self.home = folder / "prefect"
        url = self.bases["prefect"].replace("postgresql://", "postgresql+asyncpg://")
        kept = {"PREFECT_HOME": str(self.home), "PREFECT_API_DATABASE_CONNECTION_URL": url}
        self.prefect = Program("flows.prefectserver", "/api/health", bare | kept, folder)
        self.services = {
            "MLflow": self.mlflow,
            "PostgreSQL": base,
            "S3": s3,
            "Prefect": self.prefect,
        }

    @property
    def auth(self) -> str:
        """The string that Prefect's server asks for."""
        return auth_string(self.home)

    def env(self, prefect: bool = True) -> dict[str, str]:
        """What a member of the team has in the environment."""
        named = {
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "TAGDAG_ARTIFACTS": f"s3://{BUCKET}/mlflow",
            "TAGDAG_SEARCH_STORAGE": self.bases["search"],
            "DO_NOT_TRACK": "true",
        }
        if prefect:
            named |= {
                "PREFECT_API_URL": f"{self.prefect.url}/api",
                "PREFECT_API_AUTH_STRING": self.auth,
                "PREFECT_HOME": str(self.home),
            }
        return bare_environment("AWS_") | self.s3.env | named


@contextmanager
def team(prefect: bool = True) -> Iterator[Team]:
    """The services, running, and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="team-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        base, s3 = stack.enter_context(postgres()), stack.enter_context(s3_server())
        found = Team(base, s3, folder)
        for program in (found.mlflow, *((found.prefect,) if prefect else ())):
            stack.callback(program.stop)
            program.start()
        yield found
