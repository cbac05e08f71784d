"""A real PostgreSQL for tests and benchmarks, on this machine only."""

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.services import free_port, temporary

NOBODY = 65534  # PostgreSQL does not run as root


class Postgres:
    """A server on 127.0.0.1 in a folder of its own; `url` of its base `tagdag`.

    FileNotFoundError where there is none.

    What is on disk outlives a kill of the server, not of the machine (fsync=off).
    """

    def __init__(self, root: Path) -> None:
        places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
        places += map(Path, os.environ["PATH"].split(os.pathsep))
        found = [
            place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()
        ]
        if not found:
            raise FileNotFoundError(
                "PostgreSQL's initdb is not on this machine (Debian: postgresql)"
            )
        port = str(free_port())
        self.programs, self.root, self.url = (
            found[0],
            root,
            f"postgresql://tagdag@127.0.0.1:{port}/tagdag",
        )
        self.options = (
            f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={root} -p {port} "
            "-c fsync=off"
        )
        if os.geteuid() == 0:
            os.chown(root, NOBODY, NOBODY)
        self._call(
            "initdb", "-D", root / "base", "-U", "tagdag", "--auth=trust", "--no-sync", "--locale=C"
        )
        self.start()
        self._call("createdb", "-h", "127.0.0.1", "-p", port, "-U", "tagdag", "tagdag")

    def base(self, name: str) -> str:
        """The URL of another base of the server, made if it is not there."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as base:
            known = base.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not known:
                base.execute(f'CREATE DATABASE "{name}"')
        return self.url.removesuffix("tagdag") + name

    def _call(self, program: str, *arguments: str | Path) -> None:
        drop = (
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            if os.geteuid() == 0
            else []
        )
        with (self.root / "log").open("ab") as log:
            command = [*drop, self.programs / program, *arguments]
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self.root)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._call("pg_ctl", "-D", self.root / "base", "-w", "-o", self.options, "start")

    def stop(self) -> None:
        """Stop it as a crash would."""
        self._call("pg_ctl", "-D", self.root / "base", "-m", "immediate", "-w", "stop")


def postgres() -> AbstractContextManager[Postgres]:
    """A running server, gone afterwards."""
    return temporary(Postgres, "postgres-")
