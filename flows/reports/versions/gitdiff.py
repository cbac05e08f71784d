"""`git diff --stat` between the commits of two versions, where the repository is at hand."""

import re
import subprocess

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
LINES, SECONDS = 60, 10


def plain_commit(named: str) -> str | None:
    """The commit of a version's tag, without its `+changes`; None where it names none."""
    found = named.removesuffix("+changes")
    # a tag is anybody's text: nothing else reaches git's command line
    return found if COMMIT.fullmatch(found) else None


def changed_lines(one: str, other: str) -> list[str]:
    """What git prints; nothing where it is not there, or does not know both."""
    commits = [plain_commit(each) for each in (one, other)]
    if None in commits or commits[0] == commits[1]:
        return []
    command = ["git", "diff", "--stat=100", *commits, "--"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    if len(lines) <= LINES:
        return lines
    return [*lines[: LINES - 2], f" ... {len(lines) - LINES + 1:,} more", lines[-1]]
