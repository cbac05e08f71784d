"""What the real servers of tests and benchmarks share: a port, and an end."""

import shutil
import socket
import tempfile
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
