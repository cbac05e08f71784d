"""What is used of Prefect, and of Ray below it, beyond their documented API: all of it, and why.

tests/flows/running/test_prefect_private.py fails by name where another release has changed it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# `ray.init` is documented without it: Ray would listen at the machine's own address, not only here
RAY_ADDRESS = {"_node_ip_address": "127.0.0.1"}


def name_for_processes(function: Callable[..., Any]) -> None:
    """Give a function the name under which other processes find it.

    Prefect hands a flow or task to a process by the module and the qualified name of its function.
    The module has the dispatching function of flows/running/orchestrate.py by that name, whose
    `__wrapped__` (functools.wraps) is what Prefect is to run.
    """
    function.__qualname__ += ".__wrapped__"


@contextmanager
def heartbeat_off() -> Iterator[None]:
    """Inside, flow runs send no heartbeat, whose thread ends a second after each of them.

    The setting's None is not documented, and no environment value can say it.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
