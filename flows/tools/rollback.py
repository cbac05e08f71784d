"""Make the champion before the present one champion again: `python -m flows.rollback`.

Once more goes one further back. `python -m flows.promote --history` shows the trail.
"""

from collections.abc import Sequence

from corpus.names import printable
from flows.cli.command import parser, user_errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    command = parser("rollback", __doc__)
    why = "why, in a sentence (default: rolled back)"
    command.add_argument("--reason", default="rolled back", metavar="WHY", help=why)
    named = "registered model, or task (default: the first task)"
    command.add_argument("--name", metavar="MODEL", help=named)
    given = command.parse_args(arguments)
    with user_errors():
        from flows.registry.names import model_name
        from flows.registry.promotion import rollback

        print(printable(rollback(model_name(given.name), given.reason)))


if __name__ == "__main__":
    main()
