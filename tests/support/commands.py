"""Commands as a user types them: `run(folder, "python", "-m", "flows.version", "verify", code=2)`
returns what was printed, and fails where the exit code is another.

`python -m ...` and `dvc ...` are forked from a process that has imported torch, MLflow and DVC
(tests/support/zygote.py), which spares each of them seconds. new=True starts a new interpreter as a
user's shell does: where the start-up is what is tested, and once for every command, as a fork does
not show an import that is missing. Any other program is started as ever.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from benchmarks.services import bare_environment

# variables that only a command's own code reads. Where any other is not as the zygote has it, a new
# interpreter is started: Python or a library may have read it already
LATE = ("AWS_", "DVC_", "MLFLOW_PORT", "MLFLOW_TRACKING_", "PREFECT_", "PYTEST_", "TAGDAG_")


def run(folder: Path, *command: str, code: int = 0, new: bool = False, **env: str) -> str:
    """Run a command in a folder, with these variables; returns what it printed."""
    whole = bare_environment() | env
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        forked = None if new else _forked(command)
        if forked and zygote().serves(whole):
            ended = zygote().call(forked, folder, whole, out, errors)
        else:
            told = {"stdout": out, "stderr": errors, "check": False}
            ended = subprocess.run(command, cwd=folder, env=whole, **told).returncode
        printed = "".join(_content(file) for file in (out, errors))
    assert ended == code, printed[-4000:]
    return printed


def _forked(command: Sequence[str]) -> list[str] | None:
    """The arguments of Python that runs a command; None where another program does."""
    if command[:2] == ("python", "-m"):
        return list(command[1:])
    if command[0] == "dvc":
        return [str(Path(sys.executable).with_name("dvc")), *command[1:]]
    return None


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


class Zygote:
    """The process that commands are forked from; it ends with this one."""

    def __init__(self) -> None:
        self.env = bare_environment()
        self.asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with asked:
            command = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
            subprocess.Popen(command, stdin=asked, stdout=subprocess.DEVNULL, env=self.env)

    def serves(self, env: dict[str, str]) -> bool:
        """Whether a new interpreter with this environment would have imported the same."""
        differing = {name for name, _ in env.items() ^ self.env.items()}
        return all(name.startswith(LATE) for name in differing)

    def call(self, arguments: list[str], folder: Path, env: dict[str, str], *out: IO[bytes]) -> int:
        """Run Python with arguments; returns the exit code as subprocess has it."""
        request = {"arguments": arguments, "cwd": str(folder.resolve()), "env": env}
        ours, theirs = os.pipe()
        with Path(os.devnull).open() as nothing, os.fdopen(ours) as told:
            files = [nothing.fileno(), *(file.fileno() for file in out), theirs]
            socket.send_fds(self.asking, [json.dumps(request).encode()], files)
            os.close(theirs)
            process = int(told.readline())
            try:
                return int(told.readline())
            except BaseException:  # of pytest's time limit, or Ctrl-C
                os.kill(process, signal.SIGKILL)
                raise


def zygote() -> Zygote:
    """The zygote of this process, made at first use."""
    # and anew where a library or a test has changed variables that Python or a library may read
    base = {item for item in bare_environment().items() if not item[0].startswith(LATE)}
    return _zygote(frozenset(base))


@functools.lru_cache(maxsize=1)
def _zygote(base: frozenset[tuple[str, str]]) -> Zygote:
    return Zygote()
