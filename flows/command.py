"""Command lines: how a stage is called with its section of params.yaml, and how a fault is told."""

import argparse
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any

from corpus.names import printable
from engine.build import options
from flows.address import HELP
from flows.checked import check_once
from flows.code import held
from flows.limits import enough_address_space
from flows.settings import load


def explained(error: Exception) -> str:
    """Cause and fix in one line."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename}: there is a file where a folder must be: move it away"
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or "the disk"
        return f"{error.strerror}: {where}: make it readable and writable, or free space, then run the command again"
    if type(error).__module__.startswith(("mlflow.", "requests.")):
        return f"MLflow did not do its part ({str(error)[:300]}): see that its server runs, then repeat the command"
    return str(error)


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `kill` and schedulers send it."""

    signal = signal.SIGTERM


def _terminate(*_: Any) -> None:
    raise Terminated("stopped by SIGTERM: run the same command again to go on")


@contextmanager
def orderly() -> Iterator[None]:
    """SIGTERM ends the process as Ctrl-C does: every `finally` is reached."""
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def user_errors() -> Iterator[None]:
    """End the process with cause and fix, and exit code 2 where the fault lies in the input or the surroundings.

    Ctrl-C, SIGTERM and a training that they stopped (an error with `.signal`): 128 + signal, as in a shell.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a letter that the encoding of a pipe lacks must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        with orderly():
            enough_address_space()
            yield
    except Exception as error:
        ours = isinstance(error, ValueError | OSError) or type(error).__module__.startswith(
            ("mlflow.", "requests.", "dvc.")
        )
        if not ours or os.environ.get("TAGDAG_TRACEBACK"):
            raise
        told = printable(explained(error), keep="\n")  # it may hold names that strangers chose
        print(f"error: {told}\n(TAGDAG_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as error:
        print(str(error) or "stopped by Ctrl-C: run the same command again to go on", file=sys.stderr)
        raise SystemExit(128 + getattr(error, "signal", signal.SIGINT)) from None


def keywords(flow: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    """The keyword arguments of a stage's flow: those given in order, its section of params.yaml, its defaults."""
    function = inspect.unwrap(flow)
    signature = inspect.signature(function)
    given = dict(zip(signature.parameters, arguments, strict=False))
    if len(arguments) > len(given):
        raise ValueError(f"{flow.__name__} takes no argument {arguments[-1]!r}")
    bound = signature.bind(**given, **options(function, load()[flow.__name__], flow.__name__, given))
    bound.apply_defaults()
    return bound.arguments


def call(flow: Callable[..., Any], *arguments: str) -> Any:
    """Run a stage's flow with its section of params.yaml as keyword arguments."""
    stage = flow.__name__

    def section() -> dict[str, Any]:
        params = load()
        kinds = [{"backbone": {"name": params["candidates"].get(name)}} for name in arguments]
        return [params[stage], *kinds]

    with held(stage, section):
        return flow(**keywords(flow, *arguments))


def main(flow: Callable[..., Any], argument: str | None = None) -> None:
    """Command line of a stage: `python -m flows.<stage> [argument]`, numbers from params.yaml, `--help` says which."""
    signature = inspect.signature(inspect.unwrap(flow))
    numbers = [str(p.replace(annotation=p.empty)) for p in signature.parameters.values() if p.name != argument]
    parser = argparse.ArgumentParser(
        prog=f"python -m flows.{flow.__name__}",
        description=inspect.getdoc(flow),
        epilog=f"settings, section {flow.__name__!r} of params.yaml:\n  " + "\n  ".join(numbers) + f"\n\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if argument:
        parser.add_argument(argument)
    values = vars(parser.parse_args()).values()
    with user_errors():
        check_once()
        call(flow, *values)
