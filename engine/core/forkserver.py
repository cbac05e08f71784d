"""The process that others are forked from: it has imported torch and has never run it.

To import torch anew takes seconds, in every process. What runs torch's threads must not fork: a
child would wait for threads that it does not have.
"""

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path

# the first step of any of torch's optimizers imports it, which takes more than a second
TRAINS = "torch._dynamo"


def start(modules: Sequence[str]) -> None:
    """Start the server, which imports the modules in the background; one that runs stays as it is.

    Processes of multiprocessing's start method `forkserver` then begin with these imports.
    """
    multiprocessing.set_forkserver_preload(list(modules))
    # its imports know no sys.path but this, and libraries that start threads when they are loaded
    # must not
    set_ = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in set_}
    os.environ |= set_
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
