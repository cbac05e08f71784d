"""What a run was made from: the data's version, git's commit, the params, DVC's experiment."""

import functools
import json
import os
import subprocess
import time
from pathlib import Path

from engine.core.digest import digest
from flows.data import pointer
from flows.running import settings
from flows.running.orchestrate import log

# dvc.lock changes with every stage that runs: it is a result, not an origin
RESULTS = (".", ":!dvc.lock")
PROSE = (":!*.md", ":!tests", ":!benchmarks")  # no result depends on these
SUBJECT = 40  # characters of a commit's subject in the name of a run


class GitMissing(ValueError):
    """There is no git to ask for the commit."""

    def __init__(self) -> None:
        super().__init__(
            "git is not installed, or not on the PATH: install it (every run is tagged with the "
            "commit that it came from), then run the command again"
        )


@functools.cache
def _refused(message: str) -> None:
    """Say once that git answers nothing about this folder, and how to mend it."""
    fix = f"repair it (git fsck), or clone again; git said: {message}"
    if "dubious ownership" in message:
        fix = (
            "the folder belongs to another user; if you trust it: "
            f"git config --global --add safe.directory {Path.cwd()}"
        )
    log.warning(
        "git refuses to read this folder, runs are tagged with the commit 'unknown': %s", fix
    )


def _git(*arguments: str) -> str | None:
    """What git prints; None where it refuses, "" where there is no repository or no commit yet."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            errors="replace",  # a changed file need not be UTF-8
            check=False,
            env=os.environ | {"LC_ALL": "C"},  # the messages below are looked for in English
        )
    except FileNotFoundError:
        raise GitMissing from None
    if done.returncode == 0:
        return done.stdout.strip()
    # git's words outside a repository, and in one without a commit
    absent = (
        "not a git repository",
        "unknown revision",
        "bad revision",
        "does not have any commits",
    )
    if any(words in done.stderr for words in absent):
        return ""
    _refused(done.stderr.strip().partition("\n")[0][:200])
    return None


def data_version() -> str:
    """DVC's md5 of data/, read from data.dvc; ValueError where that is damaged."""
    return pointer.md5() or "unversioned"


def experiment() -> str | None:
    """The name of the DVC experiment (`dvc exp run`) that this process is part of."""
    return os.environ.get("DVC_EXP_NAME") or None


def origin() -> dict[str, str]:
    """The tags of every run and model version, all `tagdag.`: data, commit, params.

    The commit has +changes when tracked files differ from it; `changes` then tells one state of
    them from another. `experiment` is there in an experiment of DVC. GitMissing without git.
    """
    head = _git("rev-parse", "HEAD")
    changed = head and _git("status", "--porcelain", "--untracked-files=no", "--", *RESULTS)
    commit = {None: "unknown", "": "none"}.get(head, head)
    tags = {"tagdag.data": data_version(), "tagdag.params": digest(settings.load_params())}
    tags["tagdag.commit"] = f"{commit}+changes" if changed else commit
    if changed:
        tags["tagdag.changes"] = digest(_git("diff", "HEAD", "--", *RESULTS, *PROSE))
    if experiment():
        tags["tagdag.experiment"] = experiment()
    return tags


def run_title(tags: dict[str, str]) -> str:
    """The name of a new pipeline run: when it began, how many posts, which commit or experiment."""
    parts = [time.strftime("%Y-%m-%d %H:%M")]
    store = Path("data", "posts", "store.json")
    if store.exists():
        parts.append(f"{json.loads(store.read_text())['records']:,} posts")
    named = f"experiment {tags['tagdag.experiment']}" if "tagdag.experiment" in tags else ""
    subject = named or (_git("log", "-1", "--format=%s") or "")[:SUBJECT]
    subject += " +changes" if "tagdag.changes" in tags and not named else ""
    return ", ".join(parts) + (f": {subject}" if subject else "")
