"""The processes of flows/running/pool.py: forked from a server that has torch and never ran it.

What runs torch's threads must not fork: a child would wait for threads that it does not have.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.core import forkserver
from flows.running import error_messages

# without one of these there is no GPU to ask torch for
DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
WARM = ["flows.training.arms", "flows.measuring.records"]  # imported once, for all processes
CONTEXT = multiprocessing.get_context("forkserver")


def gpu_count() -> int:
    """How many GPUs there are; without the import of torch where there is none."""
    if not any(Path(device).exists() for device in DEVICES):
        return 0
    import torch

    return torch.cuda.device_count()


def start_server(more: Sequence[str] = ()) -> None:
    """Start the server that processes are forked from; more: modules it imports besides WARM."""
    forkserver.start([*WARM, *more])


def follow_parent() -> None:
    """End this process with the one that started it.

    After a kill -9 of that one it would go on beside the next run's workers.
    """
    # _exit: sys.exit would end the thread only
    parent = multiprocessing.parent_process()
    threading.Thread(
        target=lambda: (parent.join(), os._exit(1)), name="parent", daemon=True
    ).start()


def follow_stdin() -> None:
    """Stop in order when standard input is closed: who holds its other end is gone, or says so."""

    def watch() -> None:
        # not sys.stdin, whose lock a thread that waits would hold while Python ends: a fatal error
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def begin(environment: dict[str, str]) -> None:
    """A process starts: with its parent's environment, and no longer than its parent.

    The server that forks it has the environment of its own start.
    """
    # Ctrl-C reaches all of a terminal, and is the parent's to answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    follow_parent()


def _serve(pipe: Connection, environment: dict[str, str], threads: int) -> None:
    """A process of the pool: makes the calls that come, until pipe or signal end it."""
    begin(environment)
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            function, arguments, reports = pipe.recv()
        except EOFError:
            return
        named = {"report": lambda *told: pipe.send((None, told))} if reports else {}
        try:
            answer = (True, function(*arguments, **named))
        except Exception as error:
            answer = (False, _portable(error))
        except KeyboardInterrupt:  # a training that was told to stop, and has kept its state
            return
        pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """The error, as it can be sent, with where it was raised."""
    where = traceback.format_exc()
    try:
        # read back as well: an exception whose class takes other arguments than it was given is
        # pickled without a word, and fails when it is read
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        told = error_messages.error_message(error)
        error = ValueError(told) if told else RuntimeError(repr(error))
    error.add_note(where)
    return error


class Worker:
    """A process, and the pipe to it."""

    def __init__(self, place: int, threads: int) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        # a training in it is not split again, and has a GPU of its own
        environment = os.environ | {"TAGDAG_WORKERS": "1"}
        environment |= {"LOCAL_RANK": str(place % gpu_count())} if gpu_count() else {}
        self.process = CONTEXT.Process(
            target=_serve, args=(theirs, dict(environment), threads), daemon=True
        )
        self.process.start()
        # while this process holds the child's end too, `recv` does not see that the child has died
        theirs.close()

    def ask(self, call: tuple, report: Callable[..., None] | None) -> tuple[bool, Any]:
        """(True, result) or (False, error) of a call.

        EOFError or OSError when the process has died.
        """
        self.pipe.send(call)
        while True:
            kind, content = self.pipe.recv()
            if kind is not None:
                return kind, content
            report(*content)  # it still computes
