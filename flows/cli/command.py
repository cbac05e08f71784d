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
from engine.core.build import options
from engine.core.environment import value
from flows.cli.validate_once import validate_once
from flows.running import environment, error_messages
from flows.running.code import unchanged_while
from flows.running.limits import enough_address_space
from flows.running.settings import EACH, section_place, stage_inputs, stage_section
from flows.tracking.address import HELP


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `kill` and schedulers send it."""

    signal = signal.SIGTERM


def _terminate(*_: Any) -> None:
    raise Terminated("stopped by SIGTERM: run the same command again to go on")


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the process as Ctrl-C does: every `finally` is reached."""
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _traced() -> bool:
    """Whether a stack trace is asked for; the variable itself may be wrong."""
    try:
        return value("TAGDAG_TRACEBACK")
    except ValueError:
        return False


@contextmanager
def user_errors(warn: bool = True) -> Iterator[None]:
    """End the process with cause and fix, and 2 where the fault is in input or surroundings.

    Environment variables are looked at first; warn: also for what is odd about them. A bug ends
    with its trace and 1. Ctrl-C, SIGTERM and a training that they stopped (an error with
    `.signal`): 128 + signal, as in a shell; so does a command whose reader has ended.
    """
    for stream in (sys.stdout, sys.stderr):
        # a letter that the encoding of a pipe lacks must not end a run
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with sigterm_as_interrupt():
            # first: with too little of it the import of torch is a crash that no message explains
            enough_address_space()
            environment.check_environment(warn)
            yield
    except Exception as error:
        if _traced():
            raise
        told = error_messages.error_message(error)
        if told is None:
            error_messages.show_bug(error)
            raise SystemExit(1) from None
        told = printable(told, keep="\n")  # it may hold names that strangers chose
        print(f"error: {told}\n(TAGDAG_TRACEBACK=1 shows where)", file=sys.stderr)
        if isinstance(error, BrokenPipeError):  # Python would try once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(128 + signal.SIGPIPE) from None
        raise SystemExit(2) from None
    except KeyboardInterrupt as error:
        print(
            str(error) or "stopped by Ctrl-C: run the same command again to go on", file=sys.stderr
        )
        raise SystemExit(128 + getattr(error, "signal", signal.SIGINT)) from None


def stage_arguments(flow: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    """The keyword arguments of a stage's flow: those given, its section, its defaults.

    arguments: the name of its training or its task, where the stage has several.
    """
    function = inspect.unwrap(flow)
    signature = inspect.signature(function)
    # not strict: the parameters that no argument names are in the section
    given = dict(zip(signature.parameters, arguments, strict=False))
    if len(arguments) > len(given) or (arguments and flow.__name__ not in EACH):
        raise ValueError(f"{flow.__name__} takes no argument {arguments[-1]!r}")
    section = stage_section(flow.__name__, *arguments)
    where = section_place(flow.__name__, *arguments)
    bound = signature.bind(**given, **options(function, section, where, given))
    bound.apply_defaults()
    return bound.arguments


def run_stage(flow: Callable[..., Any], *arguments: str) -> Any:
    """Run a stage's flow with its section of params.yaml as keyword arguments."""
    given = stage_arguments(flow, *arguments)
    with unchanged_while(flow.__name__, lambda: stage_inputs(flow.__name__, *arguments)):
        return flow(**given)


def program(name: str) -> str:
    """What a command's usage calls it: as it was called, by `tagdag` or by its module."""
    return sys.argv[0] if sys.argv[0].startswith("tagdag ") else f"python -m flows.{name}"


def parser(name: str, about: str | None, after: str | None = None) -> argparse.ArgumentParser:
    """Of `python -m flows.<name>`; what is said before and after the options keeps its lines."""
    return argparse.ArgumentParser(
        prog=program(name),
        description=about,
        epilog=after,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(flow: Callable[..., Any], argument: str | None = None) -> None:
    """Command line of a stage: `python -m flows.<stage> [argument]`; --help lists settings."""
    signature = inspect.signature(inspect.unwrap(flow))
    numbers = [
        # without the ranges, which fill a page: a wrong value is told with its own
        str(p.replace(annotation=p.empty))
        for p in signature.parameters.values()
        if p.name != argument
    ]
    named = f"settings, {section_place(flow.__name__, argument and f'<{argument}>')} of params.yaml"
    after = f"{named}:\n  " + "\n  ".join(numbers) + f"\n\n{HELP}"
    command = parser(flow.__name__, inspect.getdoc(flow), after)
    if argument:
        command.add_argument(argument)
    values = vars(command.parse_args()).values()
    with user_errors():
        validate_once()
        run_stage(flow, *values)
