"""A clone of this repository that a recipe runs its own DAG in, and numbers laid over its
params.yaml.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from corpus.drawn.sample import draw_sample
from corpus.drawn.tagged import draw_tagged

# a DAG of half a minute, in which every kind of arm is trained
SMALL = {
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"trials": 2, "epochs": 1},
    "pretrain": {"*": {"epochs": 1}},
    "tasks": {
        "*": {
            "labels": [4],
            "seeds": [0, 1],
            "epochs": 1,
            "grid": {"rate": [0.8, 1.6], "l2": [0.01, 0.1], "k": [1, 2]},
        }
    },
    "evaluate": {"runs": 3, "batches": [8], "seconds": 0.02},
}


def merged(params: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """The overlay over the params, section by section.

    What stands below `*` is laid over each section there; null in the place of a section takes it
    away.
    """
    found = dict(params)
    for name, section in params.items():
        if "*" in overlay and isinstance(section, dict):
            found[name] = merged(section, overlay["*"])
    for name, value in overlay.items():
        if name == "*":
            continue
        below = found.get(name)
        if isinstance(below, dict) and value is None:
            del found[name]
        else:
            nested = isinstance(below, dict) and isinstance(value, dict)
            found[name] = merged(below, value) if nested else value
    return found


def parsed(text: str, where: str) -> Any:
    """YAML; ValueError where it is none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML ({error}): mend it") from None


def override(assignment: str) -> dict[str, Any]:
    """`search.trials=2` as a nested section."""
    path, equals, value = assignment.partition("=")
    if not equals or not all(path.split(".")):
        raise ValueError(
            f"-S {assignment}: write section.key=value, for example -S tasks.scenes.seeds=[0,1]"
        )
    section = parsed(value, f"-S {assignment}")
    for key in reversed(path.split(".")):
        section = {key: section}
    return section


def overlaid(work: Path, overlay: dict[str, Any]) -> dict[str, Any]:
    """Lay numbers over params.yaml of the clone; returns what it then holds."""
    params = merged(yaml.safe_load((work / "params.yaml").read_text()), overlay)
    (work / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return params


def sampled(
    work: Path,
    posts: int = 300,
    labelled: tuple[int, int, int] = (8, 4, 6),
    tagged: tuple[int, int, int] | None = None,
) -> None:
    """A small drawn sample as the data of the clone, versioned.

    tagged: images of train, val and test of a set `things` of the kind tags besides.
    """
    draw_sample(work / "data", posts=posts, labelled=labelled)
    if tagged:
        draw_tagged(work / "data" / "targets" / "things", tagged)
    (work / "data.dvc").unlink(missing_ok=True)
    python(work, "dvc", "add", "-q", "data")


def git(folder: Path, *arguments: str, **env: str) -> str:
    """Output of a git command in a folder; ValueError with git's message."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | env, capture_output=True, text=True
    )
    if done.returncode:
        why = done.stderr.strip()
        raise ValueError(f"git {arguments[0]}: {why}: mend that, the DAG runs in a clone")
    return done.stdout.strip()


def checkout(origin: Path, work: Path) -> str:
    """A clone of the origin's HEAD in `work`, its data and its DVC lock kept where it exists.

    Returns the commit.
    """
    if not (work / ".git").exists():
        work.parent.mkdir(parents=True, exist_ok=True)
        git(origin, "clone", "--quiet", "--no-checkout", str(origin), str(work))
    kept = {
        path: path.read_bytes() for path in (work / "data.dvc", work / "dvc.lock") if path.exists()
    }
    git(work, "fetch", "--quiet", str(origin), "HEAD")
    git(work, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    for path, content in kept.items():
        path.write_bytes(content)
    # photographs under a licence of their own must not go to the remote that a user may have
    # configured
    (work / ".dvc" / "config.local").write_text("[core]\n    remote =\n")
    return git(work, "rev-parse", "HEAD")


def python(work: Path, *arguments: str) -> None:
    """Run a module of the clone; SystemExit with its exit code if it fails (it has said why)."""
    code = subprocess.run([sys.executable, "-m", *arguments], cwd=work, check=False).returncode
    if code:
        raise SystemExit(code)


def committed(work: Path, message: str) -> None:
    """Commit data.dvc and params.yaml in the clone, dated as the commit below: the same content,
    the same commit.
    """
    date = git(work, "log", "-1", "--format=%cI")
    git(work, "add", "data.dvc", "params.yaml")
    identity = (
        "-c",
        "user.name=tagdag",
        "-c",
        "user.email=tagdag@localhost",
        "-c",
        "commit.gpgsign=false",
    )
    options = ("--quiet", "--allow-empty", "--no-verify", "-m", message)
    git(work, *identity, "commit", *options, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
