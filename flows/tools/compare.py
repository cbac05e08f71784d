"""Searches side by side: `python -m flows.compare out/a out/b`; flows/tools/comparison.py computes.

Tables and figure say which design space is better, and whether two ways of training rank
networks alike.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from flows.cli.command import program, user_errors
from flows.searching.trials import COSTS


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=program("compare"), description=__doc__)
    folder = "folder of a finished search, such as out/search"
    parser.add_argument("folders", nargs="+", metavar="SEARCH", help=folder)
    called = "what to call them, in order; else by their folders"
    parser.add_argument("--names", metavar="A,B", help=called)
    page = "page; a PNG goes beside (default: compare.html)"
    parser.add_argument("--out", type=Path, default=Path("compare.html"), metavar="FILE", help=page)
    by = "complexity to normalise by"
    parser.add_argument("--by", choices=list(COSTS), default="flops", help=by)
    given = parser.parse_args(arguments)
    with user_errors():
        from flows.tools.comparison import compare

        compare(given.folders, given.names.split(",") if given.names else None, given.out, given.by)


if __name__ == "__main__":
    main()
