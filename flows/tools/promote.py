"""Make a version champion: `python -m flows.promote 7 --reason "better on night photographs"`.

The alias `champion` of MLflow's registry is set, and who did it, when and why is kept there for
ever: --history shows it.
"""

from collections.abc import Sequence

from corpus.names import printable
from flows.cli.command import parser, user_errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    command = parser("promote", __doc__)
    wanted = "number of the version, or an alias such as challenger"
    command.add_argument("version", nargs="?", metavar="VERSION", help=wanted)
    command.add_argument("--reason", default="", metavar="WHY", help="why, in a sentence")
    named = "registered model, or task (default: the first task)"
    command.add_argument("--name", metavar="MODEL", help=named)
    shown = "print who made which version champion, when and why"
    command.add_argument("--history", action="store_true", help=shown)
    given = command.parse_args(arguments)
    if not given.version and not given.history:
        command.error("name a VERSION, or ask for the --history")
    with user_errors():
        from flows.registry.names import model_name
        from flows.registry.promotion import history, promote

        name = model_name(given.name)
        if given.version:
            print(printable(promote(name, given.version, given.reason)))
        if given.history:
            print("\n".join(map(printable, history(name))))


if __name__ == "__main__":
    main()
