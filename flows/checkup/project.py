"""What `tagdag doctor` looks at of the project's folder: variables, git, params.yaml, data."""

import shutil
import subprocess

from corpus.names import printable
from flows.checkup.finding import NOTE, OK, WRONG, Finding
from flows.running import environment


def variables() -> Finding:
    """Environment variables that are wrong, or do nothing."""
    environment.check_environment(warn=False)
    odd = [*environment.unknown_variables(), *environment.crowding_variables()]
    if odd:
        return Finding(NOTE, "; ".join(odd), "python -m flows.environment lists them all")
    return Finding(OK, "none is wrong")


def git() -> Finding:
    """Whether runs can be tagged with the commit that they come from."""
    if not shutil.which("git"):
        return Finding(WRONG, "git is not installed", "install it: apt-get install git")
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        cause = printable(done.stderr.strip().partition("\n")[0])
        return Finding(WRONG, cause, "clone tagdag, rather than copy its files")
    return Finding(OK, f"commit {done.stdout.strip()}")


def params() -> Finding:
    """params.yaml against the signatures and the data."""
    from flows.cli.validate import validate

    notes = validate()
    return Finding(NOTE, "; ".join(notes)) if notes else Finding(OK, "every key is valid")


def data() -> Finding:
    """data/ and data.dvc."""
    from flows.data import pointer

    if pointer.md5() is None:
        return Finding(NOTE, "no posts yet", "make data draws the sample; or tagdag version add")
    if not (pointer.DATA / "posts").is_dir():
        return Finding(WRONG, "data.dvc names posts that are not here", "make data")
    return Finding(OK, f"version {pointer.md5()[:8]}")
