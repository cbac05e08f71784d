"""The commands that README has a stranger type, in their order."""

import shlex
from pathlib import Path

MARK = "<!-- commands: a test runs these in order -->"


def commands(readme: Path = Path("README.md")) -> list[list[str]]:
    """Each line of the marked block as a shell splits it, without what is said of it."""
    block = readme.read_text(encoding="utf-8").partition(MARK)[2].split("```")[1]
    return [shlex.split(line, comments=True) for line in block.strip().splitlines()]
