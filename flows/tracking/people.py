"""Who runs this, for trails that people read."""

import getpass
import platform


def who() -> str:
    """The user of this process and its machine: `ann@box`."""
    try:
        name = getpass.getuser()
    # KeyError until Python 3.13: a container may run a number that has no name
    except (OSError, KeyError):
        name = "unknown"
    return f"{name}@{platform.node() or 'unknown'}"
