"""The environment variables: `python -m flows.environment` prints them, and what is wrong.

Every command looks at them before anything runs. engine/core/environment.py has the table.
"""

from engine.core.environment import VARIABLES
from flows.cli.command import parser, user_errors


def variable_table() -> str:
    """All variables: name, value when unset, what it may be, what it is for."""
    lines = []
    for name, variable in VARIABLES.items():
        unset = variable.unset or ("no" if variable.default is False else f"{variable.default:g}")
        lines.append(f"{name}\n    {variable.about}\n    {variable.kind.wants}; unset: {unset}")
    return "\n".join(lines)


def main() -> None:
    """Command line: the table; exit code 2 where a variable that is set is wrong."""
    parser("environment", __doc__, variable_table()).parse_args()
    with user_errors():
        print(variable_table())


if __name__ == "__main__":
    main()
