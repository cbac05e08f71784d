"""Command lines: how a stage is called with its section of params.yaml, and how a fault is told."""

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine.build import options
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


@contextmanager
def user_errors() -> Iterator[None]:
    """End the process with cause and fix and exit code 2 where the fault lies in the input or the surroundings."""
    try:
        yield
    except Exception as error:
        ours = isinstance(error, ValueError | OSError) or type(error).__module__.startswith(
            ("mlflow.", "requests.", "dvc.")
        )
        if not ours or os.environ.get("TAGDAG_TRACEBACK"):
            raise
        print(f"error: {explained(error)}\n(TAGDAG_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None


def call(flow: Callable[..., Any], *arguments: str) -> Any:
    """Run a stage's flow with its section of params.yaml as keyword arguments."""
    function = inspect.unwrap(flow)
    given = dict(zip(inspect.signature(function).parameters, arguments, strict=False))
    if len(arguments) > len(given):
        raise ValueError(f"{flow.__name__} takes no argument {arguments[-1]!r}")
    return flow(**given, **options(function, load()[flow.__name__], flow.__name__, given))


def main(flow: Callable[..., Any], argument: str | None = None) -> None:
    """Command line of a stage: `python -m flows.<stage> [argument]`, numbers from params.yaml, `--help` says which."""
    signature = inspect.signature(inspect.unwrap(flow))
    numbers = [str(p.replace(annotation=p.empty)) for p in signature.parameters.values() if p.name != argument]
    parser = argparse.ArgumentParser(
        prog=f"python -m flows.{flow.__name__}",
        description=inspect.getdoc(flow),
        epilog=f"settings, section {flow.__name__!r} of params.yaml:\n  " + "\n  ".join(numbers),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if argument:
        parser.add_argument(argument)
    values = vars(parser.parse_args()).values()
    with user_errors():
        call(flow, *values)
