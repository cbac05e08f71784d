"""End the servers and the worker that `python -m flows.up` has started in this folder: `make down`.

Nothing is lost: runs, registry and schedules are in data bases. A run that the worker is in the
middle of is stopped, and goes on from its last state when the pipeline is run again. A server that
was started in another way is left alone.
"""

from flows.cli.command import parser, user_errors
from flows.running import services

# the worker first: it speaks to both others until its end
NAMES = ("worker", "mlflow", "prefect")


def down() -> list[str]:
    """End them; a line for each."""
    with services.one_at_a_time():
        return [f"{name}: {services.stop(name)}" for name in NAMES]


def main() -> None:
    """Command line."""
    parser("down", __doc__).parse_args()
    with user_errors():
        print("\n".join(down()))


if __name__ == "__main__":
    main()
