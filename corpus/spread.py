"""One function called for many parts that do not depend on each other, as the shards of a store.

flows/running/executors.py has processes, Dask and Ray for it; corpus knows none of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Spread(Protocol):
    """Calls side by side: as many at a time as there are `workers`."""

    workers: int

    def map(
        self, function: Callable[..., Any], many: Sequence[tuple], told: Callable[[int], None]
    ) -> list[Any]:
        """The function's results for each tuple of arguments, in their order.

        The function is one of a module, arguments and results are plain values: they may go to
        another machine. `told(place)` as the call at that place ends. Its errors are raised here.
        """


class InTurn:
    """A Spread of one worker: this process."""

    workers = 1

    def map(
        self, function: Callable[..., Any], many: Sequence[tuple], told: Callable[[int], None]
    ) -> list[Any]:
        """One call after the other."""
        results = []
        for place, arguments in enumerate(many):
            results.append(function(*arguments))
            told(place)
        return results


in_turn = InTurn()
