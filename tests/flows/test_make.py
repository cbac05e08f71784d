"""The Makefile where a folder's name has spaces, what it installs by hash, and what it deletes."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-peers.lock", "requirements-uv.lock")
# what `python3`, the environment's python and uv are here: they write down how they were called
STUB = """#!/bin/sh
printf '%s|' "$(basename "$0")" "$VIRTUAL_ENV" "$@" >> "{log}"
echo >> "{log}"
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    cp "$0" "$3/bin/uv"
fi
"""


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with spaces in its name, the Makefile in it, and a stub for Python."""
    folder = tmp_path / "a b" / "c  d"
    folder.mkdir(parents=True)
    for name in ("Makefile", *LOCKS):
        shutil.copy(ROOT / name, folder / name)
    stub = tmp_path / "python3"
    stub.write_text(STUB.format(log=tmp_path / "log"))
    stub.chmod(0o755)
    return folder


def make(folder: Path, *arguments: str, typed: str = "", code: int = 0) -> str:
    """What make prints; the stub is its Python."""
    python = folder.parents[1] / "python3"
    path = f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    command = ["make", f"PYTHON={python}", *arguments]
    env = {"PATH": path, "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, input=typed, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def called(folder: Path) -> list[list[str]]:
    """The stub's calls: program, VIRTUAL_ENV, arguments."""
    lines = (folder.parents[1] / "log").read_text().splitlines()
    return [line.split("|")[:-1] for line in lines]


def test_the_environment_is_made_in_a_folder_with_spaces_and_nothing_beside_it(place):
    make(place, "setup")
    assert (place / ".venv" / ".installed").exists()
    top = place.parents[1]
    assert sorted(path.name for path in top.iterdir()) == ["a b", "log", "python3"]
    assert [path.name for path in (top / "a b").iterdir()] == ["c  d"]
    uv = next(call for call in called(place) if call[0] == "uv")
    assert uv[:2] == ["uv", str(place / ".venv")]
    (top / "log").unlink()
    make(place, "setup")
    assert not (top / "log").exists()  # made once


def test_every_other_target_finds_the_environment_there(place):
    make(place, "peers")
    [peers] = [call for call in called(place) if "requirements-peers.lock" in call]
    assert peers[:2] == ["uv", str(place / ".venv")]
    make(place, "lock")
    compiles = [call for call in called(place) if "compile" in call]
    assert {call[call.index("--output-file") + 1] for call in compiles} == set(LOCKS)
    for target in ("repro", "prefect", "worker", "data"):
        make(place, target)
    modules = [call[3] for call in called(place) if call[0] == "python" and call[2] == "-m"]
    assert {"flows.pipeline", "flows.prefectserver", "flows.prefectworker"} <= set(modules)


def test_whatever_pip_and_uv_install_has_a_hash(place):
    make(place, "peers")
    installs = [call for call in called(place) if "install" in call]
    ours = [call for call in installs if "--editable" in call]
    [project] = ours  # this folder itself: nothing comes from elsewhere, no tool to build it either
    assert project[-1] == "." and {"--no-deps", "--no-build-isolation"} <= set(project)
    assert len(installs) == 4
    assert all("--require-hashes" in call for call in installs if call not in ours)
    for name in LOCKS:
        text = (ROOT / name).read_text().replace("\\\n", "")
        packages = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert packages and all("--hash=sha256:" in line for line in packages)
        assert not re.search("https?:|--(extra-)?index", text)


def test_clean_keeps_the_runs_and_the_registry(place):
    for name in ("out", ".tagdag", "mlruns", "data"):
        (place / name).mkdir()
    for name in ("dvc.lock", "mlflow.db", "data.dvc"):
        (place / name).touch()
    make(place, "clean")
    left = {path.name for path in place.iterdir()}
    assert left == {"Makefile", *LOCKS, "mlruns", "data", "mlflow.db", "data.dvc"}


@pytest.mark.parametrize("typed", ["", "n\n", "\n", "yes please\n"])
def test_runs_are_forgotten_only_by_who_says_yes(place, typed):
    (place / "mlflow.db").touch()
    assert "every registered model" in make(place, "forget-runs", typed=typed)
    assert (place / "mlflow.db").exists()


def test_runs_are_forgotten(place):
    (place / "mlruns").mkdir()
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.dbs"):
        (place / name).touch()
    make(place, "forget-runs", typed="y\n")
    assert {path.name for path in place.iterdir()} == {"Makefile", *LOCKS, "mlflow.dbs"}


def test_help_names_every_target(place):
    targets, _, variables = make(place, "help").partition("\n\n")
    listed = {line.split()[0] for line in targets.splitlines()}
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if ".PHONY" in line)
    assert listed == set(phony.split()[1:])
    named = {line.partition("=")[0] for line in variables.splitlines()}
    used = set(re.findall(r"\$\(if \$\((\w+)\)|^(\w+) \?=", (ROOT / "Makefile").read_text(), re.M))
    assert named == {name for pair in used for name in pair if name} | {"TAGDAG_..."}


@pytest.mark.parametrize(
    ("target", "variable"), [("mlflow", "MLFLOW_PORT"), ("prefect", "PREFECT_PORT")]
)
def test_a_port_that_is_taken_ends_with_an_error_that_names_another(place, target, variable):
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / ".installed").touch()
    (place / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (place / "flows").symlink_to(ROOT / "flows")
    (place / "corpus").symlink_to(ROOT / "corpus")
    (place / "engine").symlink_to(ROOT / "engine")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        told = make(place, target, f"{variable}={number}", code=2)
    fix = f"end what uses it, or take another: make {target} {variable}="
    assert f"error: port {number} is taken: {fix}" in told
    assert "is no port: give a number from 1 to 65535" in make(
        place, target, f"{variable}=x", code=2
    )
