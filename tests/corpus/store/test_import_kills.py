"""`version add` killed -9 between all of its steps, then run again: the bytes of an undisturbed
import.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.corpus.store.test_ingest import files, picture

ROOT = Path(__file__).parents[3]
# One process imports everything, and each import is a fork of it: seconds less a kill than a new
# command.
COMMAND = """
import contextlib, os, sys, time
from pathlib import Path
import dvc.repo, dvc.repo.add, mlflow, sqlalchemy
import corpus.drawn.sample, corpus.store.ingest, corpus.sources.source
from flows import version
from flows.tracking import tracking

def start():
    pid = os.fork()
    if not pid:
        try:
            version.version(posts=sys.argv[1], labels=sys.argv[2], target="mine")
            os._exit(0)
        finally:
            sys.stdout.flush()
            os._exit(1)
    return pid

def killed(moment):
    "Start an import and kill it when `moment()` is true; SystemExit if it ends before."
    pid = start()
    while not moment():
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise SystemExit(f"it ended before {moment.__name__}")
        time.sleep(0.001)
    os.kill(pid, 9)
    os.waitpid(pid, 0)

data, begun = Path("data"), time.monotonic()
def first_second(): return time.monotonic() > begun + 0.05
def labels_planned(): return (data / "targets/.mine.part/plan.sqlite").exists()
def labels_written(): return any((data / "targets/.mine.part/shards").glob("*.tar"))
def posts_planned(): return (data / ".posts.part/plan.sqlite").exists()
def posts_written(): return any((data / ".posts.part/shards").glob("*.tar"))
def posts_stored(): return (data / "posts/store.json").exists()
def labels_stored(): return (data / "targets/mine/store.json").exists()
def in_cache(): return any(Path(".dvc/cache/files").rglob("*.dir"))
def named():
    # it is put aside meanwhile: the kill before left it broken
    with contextlib.suppress(FileNotFoundError):
        return Path("data.dvc").stat().st_size > 0
prepared = [labels_planned, labels_written, posts_planned, posts_written]  # no store has changed
steps = [first_second, *prepared, posts_stored, labels_stored, in_cache, named]
for moment in steps if sys.argv[3] == "kill" else ():
    killed(moment)
    print("killed:", moment.__name__)
    if moment is in_cache:  # DVC writes both in place: what a kill in the middle leaves
        Path("data.dvc").write_text("")
        Path(".dvc/tmp/rwlock").write_text('{"write"')
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]))
"""


@pytest.fixture
def source(tmp_path) -> Path:
    """Posts and labels, some of which cannot be used: a damaged image, no image, an id that
    comes twice.
    """
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.jpg").write_bytes(picture(number)[: 100 if number % 20 == 7 else None])
    rows = [f"{number}.jpg,#sea #t{number % 5},p{number}" for number in range(60)]
    (folder / "posts.csv").write_text(
        "\n".join(["image,hashtags,id", *rows, "gone.jpg,#x,q", "3.jpg,#y,p4"])
    )
    rows = [f"{number}.jpg,l{number % 3}" for number in range(30)]
    (folder / "labels.csv").write_text("\n".join(["image,label", *rows, "gone.jpg,x"]))
    return folder


def imported(place: Path, source: Path, empty_store: Path, *how: str) -> dict[str, bytes | int]:
    """Import in a new repository of DVC; returns the bytes of data/ and data.dvc, and the runs."""
    place.mkdir()
    start = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(start, cwd=place, check=True)
    shutil.copyfile(ROOT / ".dvcignore", place / ".dvcignore")
    shutil.copyfile(ROOT / "params.yaml", place / "params.yaml")
    shutil.copyfile(empty_store, place / "mlflow.db")
    command = [
        sys.executable,
        "-c",
        COMMAND,
        str(source / "posts.csv"),
        str(source / "labels.csv"),
        *how,
    ]
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_"))
    }
    env = clean | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert done.stdout.count("killed:") == (9 if "kill" in how else 0), done.stdout
    with closing(sqlite3.connect(place / "mlflow.db")) as base:
        [[runs]] = base.execute(
            "SELECT count(*) FROM tags WHERE key = 'tagdag.stage' AND value = 'version'"
        )
    kept = {"data.dvc": (place / "data.dvc").read_bytes(), "runs in MLflow": runs}
    return files(place / "data") | kept


def test_an_import_killed_at_every_step_ends_with_the_bytes_of_an_undisturbed_one(
    source, tmp_path, empty_store
):
    whole = imported(tmp_path / "whole", source, empty_store, "whole")
    assert {"posts/store.json", "targets/mine/store.json", "quarantine.jsonl"} < whole.keys()
    assert imported(tmp_path / "killed", source, empty_store, "kill") == whole
