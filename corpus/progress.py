"""How work that takes long says how far it is, the same in every room.

flows/running/showing.py has the one way to show it: a bar, lines, an artifact in Prefect.
"""

from collections.abc import Callable

# called with what is done, the total (None where it is not known yet) and what is at work: it may
# be called at every step, whoever shows it looks at the clock
Progress = Callable[[int, int | None, str], None]


def unseen(done: int, total: int | None, text: str = "") -> None:
    """A Progress that shows nothing."""
