"""A process that has imported large libraries and used none of them: commands are forked from it,
which spares each the seconds of the imports. tests/support/commands.py starts it, and asks.

It imports nothing of this repository: a command's modules are those of the folder it runs in.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

# what commands import. Not Prefect, which reads its settings from the environment when it is
# imported; DVC's module by module, as it imports itself when it first needs it
LIBRARIES = (
    *("torch._dynamo", "torch.utils.flop_counter", "torchvision.transforms.v2.functional", "timm"),
    *("scipy.cluster.hierarchy", "scipy.stats", "pyarrow.dataset", "pyarrow.parquet", "wordfreq"),
    *("matplotlib.backends.backend_agg", "matplotlib.figure", "simplejpeg", "rich.progress"),
    *("alembic.command", "boto3", "optuna.storages", "sqlalchemy.dialects.sqlite"),
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    *("dvc.cachemgr", "dvc.cli.parser", "dvc.dirs", "dvc.repo.index", "dvc.repo.metrics.show"),
    *("dvc.repo.plots", "dvc.repo.stage", "dvc.rwlock", "dvc.utils.strictyaml"),
    *("dvc_render.vega", "networkx", "pygit2", "ruamel.yaml", "scmrepo.git", "tabulate"),
)


def import_libraries() -> None:
    """Import them, from nowhere but where they are installed."""
    del sys.path[0]  # this file's folder
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else a command's first collection would copy every page


def wait_for_command() -> dict:
    """Fork for every command that is asked for; returns what is asked, in the new processes only.

    Standard input is the socket of who asks. A request is JSON and four files: standard input,
    output and error, and where the process's id is written, and in the end its exit code.
    """
    asking = socket.socket(fileno=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the commands
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that tell the end
    while True:
        request, files, _, _ = socket.recv_fds(asking, 1 << 20, 4)
        if not request:  # who asks has ended
            os._exit(0)
        if not os.fork():
            told = files.pop()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            command = os.fork()
            if command:
                tell_end(command, told)
            os.close(told)
            asking.detach()
            take_standard_files(files)
            return json.loads(request)
        for file in files:
            os.close(file)


def tell_end(command: int, told: int) -> None:
    """Write the id of a child, wait for its end, write its exit code, and end too."""
    os.write(told, b"%d\n" % command)
    _, status = os.waitpid(command, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def take_standard_files(files: list[int]) -> None:
    """Make these the standard input, output and error."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)


def become(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """Be what `python ARGUMENTS`, started in that folder with that environment, is at its start."""
    import numpy as np
    import torch

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # Python itself does so after a fork
    np.random.seed()  # noqa: NPY002
    torch.default_generator.seed()
    sys.argv = arguments
    sys.path.insert(0, cwd if arguments[0] == "-m" else str(Path(arguments[0]).parent))


def run_command() -> None:
    """Run what sys.argv names, as Python does with these arguments."""
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


class Ending:
    """How a command ends: as Python does, but for freeing every object that there is.

    That takes half a second here.
    """

    code: int | None = None

    def note(self, error: BaseException | None) -> None:
        """The exit code that Python will have; a signal's is left to it."""
        if isinstance(error, SystemExit):
            # anything else than a number is printed, by Python
            number = int(error.code is not None)
            self.code = error.code if isinstance(error.code, int) else number
        elif not isinstance(error, KeyboardInterrupt):
            self.code = int(error is not None)

    def leave(self) -> None:
        """The last that Python calls after a command's threads and whatever it has registered."""
        if self.code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)


def main() -> None:
    ending = Ending()
    atexit.register(ending.leave)  # first, to be called last
    import_libraries()
    become(**wait_for_command())
    try:
        run_command()
        ending.note(None)
    except BaseException as error:
        ending.note(error)
        raise


if __name__ == "__main__":
    main()
