"""Delete old runs and versions out of MLflow, and their files: `python -m flows.prune`.

It only lists what would go, and how many bytes, until you say --delete. What stays: versions that
an alias points to or a rollback may need, with the runs that made them; what the present dvc.lock
was made by; what is running; the newest ones. A run goes with all runs below it.

DVC's cache is another matter: `dvc gc --workspace` keeps what the present dvc.lock needs.
"""

import argparse
import re
from collections.abc import Sequence

from flows.cli.command import parser, user_errors

UNITS = {"d": 1.0, "h": 1 / 24, "w": 7.0}


def days(text: str) -> float:
    """An age: `30d`, `12h`, `8w`; argparse's error for anything else."""
    found = re.fullmatch(r"([0-9]{1,6})([dhw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 30d, 12h or 8w")
    return int(found[1]) * UNITS[found[2]]


def count(text: str) -> int:
    """A number that is not negative."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    command = parser("prune", __doc__)
    newest = "keep the newest N pipelines, and N runs of each command (default: 5)"
    command.add_argument("--keep", type=count, default=5, metavar="N", help=newest)
    older = "of the others only those older than this: 30d, 12h, 8w (default: 0d)"
    command.add_argument("--older-than", type=days, default=0.0, metavar="AGE", help=older)
    sure = "delete them for good; without it they are only listed"
    command.add_argument("--delete", action="store_true", help=sure)
    given = command.parse_args(arguments)
    with user_errors():
        from flows.registry.prunetable import prune
        from flows.registry.pruning import Rule

        prune(Rule(given.keep, given.older_than), given.delete)


if __name__ == "__main__":
    main()
