"""What is wrong or odd about the environment variables: every command looks before anything runs.

engine/core/environment.py has the table.
"""

import difflib
import os
import re
import sys

from corpus.names import printable
from engine.core.cores import cores
from engine.core.environment import VARIABLES, value, wrong
from flows.running.processes import gpu_count

PREFIX = "TAGDAG_"
EACH = {  # how many processes a variable asks for, and what each of them is
    "TAGDAG_WORKERS": "processes of one training",
    "TAGDAG_ARMS": "trainings side by side",
    "TAGDAG_SEARCHERS": "trainings of a search",
    "TAGDAG_RUNNER": "trainings side by side",
}


def unknown_variables() -> list[str]:
    """A warning for each variable that looks like ours and is none, with the nearest that is."""
    told = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in VARIABLES:
            # with the prefix, which all share, any two names look alike
            ends = [known.removeprefix(PREFIX) for known in VARIABLES]
            near = difflib.get_close_matches(name.removeprefix(PREFIX), ends, 1)
            others = "`python -m flows.environment` lists those that are"
            fix = f"did you mean {PREFIX}{near[0]}?" if near else others
            told.append(f"{printable(name[:60])} is no variable of tagdag and does nothing: {fix}")
    return told


def processes_asked_for(name: str) -> int:
    """Processes times threads that a variable asks for; 0 where it is not set."""
    # the forms are 4, 2:4 (processes:threads) and ray:4
    numbers = [int(digits) for digits in re.findall(r"\d+", str(value(name) or ""))]
    return numbers[0] * numbers[-1] if len(numbers) > 1 else sum(numbers)


def crowding_variables() -> list[str]:
    """A warning for each variable that asks for more than there are cores; none with GPUs."""
    if gpu_count():
        return []
    told, most = [], cores()
    there = f"{most} {'core' if most == 1 else 'cores'}"
    for name, what in EACH.items():
        if processes_asked_for(name) > most:
            told.append(
                f"{name}={value(name)} on {there}: the {what} take turns, "
                f"slower than with {most}, and each takes memory of its own"
            )
    return told


def check_environment(warn: bool = True) -> None:
    """ValueError that tells all variables that are wrong; warn: print what is odd about others."""
    told = wrong()
    if told:
        raise ValueError("\n".join(told))
    if warn:
        for message in (*unknown_variables(), *crowding_variables()):
            print(f"warning: {message}", file=sys.stderr)
