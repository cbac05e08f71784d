"""What the real servers of tests and benchmarks share: a port, and an end."""

import os
import shutil
import socket
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar


class Service(Protocol):
    """A server that runs from its making on."""

    def stop(self) -> None:
        """Stop it."""


S = TypeVar("S", bound=Service)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bare_environment(*more: str) -> dict[str, str]:
    """The environment without what would name another server, and what begins with `more`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    named = ("PREFECT_", "MLFLOW_", "TAGDAG_", *more)
    env = {name: text for name, text in os.environ.items() if not name.startswith(named)}
    return env | {"PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


def auth_string(home: Path) -> str:
    """The auth string of the Prefect server whose home this is."""
    profiles = tomllib.loads((home / "profiles.toml").read_text())
    return profiles["profiles"]["tagdag"]["PREFECT_API_AUTH_STRING"]


@contextmanager
def temporary(make: Callable[[Path], S], prefix: str) -> Iterator[S]:
    """A server in a folder of its own; both are gone afterwards."""
    # not below a folder that only root may enter: PostgreSQL does not run as root
    root = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        server = make(root)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(root)
