"""Pretrainings side by side on a CPU, each on one core: those of later stages begin with the first.

DVC runs one stage after another, and one training of a small network gains nothing from a second
core. So what a later stage of the same pipeline is to pretrain is trained meanwhile by a process of
its own (flows.tools.worker), which leaves the finished state in .tagdag/state, where that stage
finds it: the bytes are those of one after another.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

from engine.core.cores import cores
from engine.core.environment import value
from flows.running.dvc_private import would_run
from flows.running.processes import gpu_count

STAGE = "pretrain"
# what flows/training/learning.py goes by, in this process and in those started
THREADS = "TAGDAG_THREADS_EACH"
LAST = 60  # seconds to keep a state in, when the pipeline ends before a training does


def _room() -> int:
    """How many trainings may run beside that of a stage."""
    # several processes of one training take the whole machine
    if (value("TAGDAG_WORKERS") or 1) > 1 or cores() == 1:
        return 0
    # the GPU is taken by the training of the stage
    return 0 if gpu_count() else cores() - 1


def _started(name: str) -> subprocess.Popen:
    """The pretraining of a stage on its way."""
    # the worker is in no flow run, to which its links and its progress could belong
    env = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    command = [sys.executable, "-m", "flows.worker", name.partition("@")[2], "--follow"]
    print(f"[{name}] is trained meanwhile", file=sys.stderr)
    # a pipe, which --follow reads: it is closed when this process ends, even by a kill
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE)


@contextlib.contextmanager
def trained_ahead(names: list[str], force: bool) -> Iterator[Callable[[str], None]]:
    """Yields what is called before each stage: it starts trainings, or waits for the stage's own.

    One that fails says why, and is left to its stage.
    """
    children: dict[str, subprocess.Popen] = {}

    def before(name: str) -> None:
        if name in children:
            children.pop(name).wait()
        elif name.startswith(f"{STAGE}@") and not children and (force or would_run(name)):
            later = names[names.index(name) + 1 :]
            others = [other for other in later if other.startswith(f"{STAGE}@")]
            # not what DVC would restore from its run cache: nobody would take that state up, and it
            # would be in another's place later
            wanted = [other for other in others if force or would_run(other)]
            if not wanted:
                return
            started = wanted[: _room()]
            if started:
                # also of the stage's own training, which would else take all cores
                os.environ[THREADS] = "1"
            children.update({other: _started(other) for other in started})

    try:
        yield before
    finally:
        os.environ.pop(THREADS, None)
        # all of them before any is waited for: they keep their states side by side
        for child in children.values():
            child.stdin.close()
        for child in children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(LAST)
            child.kill()
