"""An exception as cause and fix, in one or two sentences: the one place where that is said.

What lies in the input or the surroundings is told; anything else is a bug, of which `told` knows
nothing.
"""

import re
import subprocess
import sys
import traceback
from pathlib import Path

from engine.core.exhaustion import SPENT
from flows.running import os_errors
from flows.running.library_errors import (
    LIBRARIES,
    damage_message,
    first_line,
    import_message,
    library_of,
    program_message,
)

ROOT = Path(__file__).parents[2]
REPORT = (
    "this is a bug of tagdag: report it with the lines above, the command, params.yaml and the "
    "commit (git rev-parse HEAD)"
)
MEMORY = (
    "memory ran out ({}): lower recipe.micro or recipe.batch in params.yaml, or run fewer "
    "trainings side by side (TAGDAG_ARMS=1, TAGDAG_SEARCHERS=1)"
)
ALSO = ("out of memory", "std::bad_alloc")  # where no training can go on with less


def raised_here(error: BaseException) -> bool:
    """Whether an exception was raised by this project's code, which knows why, and says so."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return True  # made, not raised: it comes from another process, or a test
    file = Path(frames[-1].filename)
    return file.is_relative_to(ROOT) and ".venv" not in file.parts


def memory_ran_out(error: BaseException) -> bool:
    """Whether memory ran out, on a CPU or a GPU; torch is not imported to find out."""
    named = type(error).__name__ in (
        "OutOfMemoryError",
        "OutOfMemory",
        "MemoryError",
        "_ArrayMemoryError",
    )
    return named or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in (*SPENT, *ALSO))
    )


# Python's own ValueErrors that nobody's input brings about
SLIPS = re.compile(r"values to unpack|arg is an empty|argument is empty|is not in list|^zip\(\)")
# and those that tell of a text that somebody gave
CONVERTED = ("invalid literal for", "could not convert", "Invalid isoformat", "embedded null")


def _said(error: ValueError) -> bool:
    """Whether a ValueError is one of ours, with cause and fix in it."""
    if isinstance(error, UnicodeError) or library_of(error) in LIBRARIES or not raised_here(error):
        return False
    return not str(error).startswith(CONVERTED)


def error_message(error: BaseException) -> str | None:
    """Cause and fix; None for what is a bug."""
    if isinstance(error, ValueError) and SLIPS.search(str(error)):
        return None
    if isinstance(error, ValueError) and _said(error):
        return str(error)
    if memory_ran_out(error):
        return MEMORY.format(first_line(error))
    # errors of requests and others are OSErrors too, with causes that their own messages tell
    system = isinstance(error, OSError) and library_of(error) not in LIBRARIES
    text = os_errors.os_error_message(error) if system else None
    if text:
        return text
    if isinstance(error, ImportError):
        return import_message(error)
    if isinstance(error, subprocess.SubprocessError) and hasattr(error, "cmd"):
        return program_message(error)
    if isinstance(error, UnicodeDecodeError):
        return damage_message("not UTF-8")(error)
    tell = LIBRARIES.get(library_of(error))
    if tell:
        return tell(error)
    if isinstance(error, EOFError):
        return damage_message("cut short")(error)
    if isinstance(error, ValueError | OSError):
        where = "said by a library, to what it was given: TAGDAG_TRACEBACK=1 shows where"
        return f"{first_line(error)} ({where})"
    return None


def show_bug(error: BaseException) -> None:
    """The trace of a bug, and what to do with it."""
    traceback.print_exception(error)
    print(f"\n{REPORT}", file=sys.stderr)
