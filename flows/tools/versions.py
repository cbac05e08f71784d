"""Versions of a registered model on one page: `python -m flows.versions`, then open versions.html.

Their accuracy and cost, champion against challenger (or any two: --pair 3,5) with a paired test on
the same test images, what differs in params, data and code, and who made which champion. All of it
comes from MLflow's registry, wherever MLFLOW_TRACKING_URI says that it is.
"""

from collections.abc import Sequence
from pathlib import Path

from corpus.names import printable
from flows.cli.command import parser, user_errors


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    command = parser("versions", __doc__)
    named = "registered model, or task (default: the first task)"
    command.add_argument("name", nargs="?", metavar="NAME", help=named)
    some = "only these, by number or alias: 3,5,champion"
    command.add_argument("--versions", metavar="LIST", help=some)
    two = "two to compare (default: champion and challenger)"
    command.add_argument("--pair", metavar="A,B", help=two)
    file, page = Path("versions.html"), "the page (default: versions.html)"
    command.add_argument("--out", type=Path, default=file, metavar="FILE", help=page)
    given = command.parse_args(arguments)
    with user_errors():
        both = _listed(given.pair)
        if given.pair and len(set(both)) != 2:
            raise ValueError(f"--pair {given.pair}: name two versions, as in --pair 3,champion")
        from flows.registry.names import model_name
        from flows.reports.versions.files import text, write

        found = write(given.out, model_name(given.name), _listed(given.versions), both)
        print("\n".join(map(printable, text(found).splitlines())))
        print(f"the page: {printable(str(given.out))}")


if __name__ == "__main__":
    main()
