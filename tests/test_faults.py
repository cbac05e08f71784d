"""Faults, made for real where that can be, as cause and fix: never a trace, always the file and what to do."""

import errno
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from flows import command, damaged, faults, osfaults, settings

ROOT = Path(__file__).parents[1]
NOBODY = 65534


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project's folder with params.yaml and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in ("TAGDAG_TRACEBACK", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def told(capsys: pytest.CaptureFixture, action: Callable[[], object], code: int = 2) -> str:
    """The one message with which the action ends the process."""
    with pytest.raises(SystemExit) as end, command.user_errors():
        action()
    *lines, hint = capsys.readouterr().err.splitlines()
    assert end.value.code == code and hint == "(TAGDAG_TRACEBACK=1 shows where)"
    assert not any("Traceback" in line for line in lines)
    return "\n".join(lines).removeprefix("error: ")


@contextmanager
def limited(which: int, most: int) -> Iterator[None]:
    """A limit of the process, for a while."""
    before = resource.getrlimit(which)
    resource.setrlimit(which, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Not root, who may do everything."""
    before = os.geteuid()
    os.seteuid(NOBODY if before == 0 else before)
    try:
        yield
    finally:
        os.seteuid(before)


def full_disk() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x")


def full_disk_by_name() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(Path("out/search/trials.jsonl")))


def another_users_file() -> None:
    Path("out").mkdir()
    Path("out/mine").write_text("x")
    Path("out/mine").chmod(0o600)
    Path.cwd().chmod(0o755)
    with somebody_else():
        Path("out/mine").read_text()


def too_many_files() -> None:
    Path("one").touch()
    held = []
    with limited(resource.RLIMIT_NOFILE, 64):
        try:
            while True:
                held.append(Path("one").open())  # noqa: SIM115
        finally:
            for file in held:
                file.close()


def larger_than_allowed() -> None:
    with limited(resource.RLIMIT_FSIZE, 100):
        Path("large").write_bytes(bytes(1000))


def links_in_a_circle() -> None:
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    Path("a").read_text()


def folder_gone() -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()
    try:
        Path.cwd()
    finally:
        os.chdir(Path(os.environ["PWD"]) if Path(os.environ.get("PWD", "")).is_dir() else "/")


def no_git() -> None:
    subprocess.run(["git", "status"], env={"PATH": "/nowhere"}, check=True)


def failing_program() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('it is broken')"]
    subprocess.run(command, check=True, capture_output=True)


def slow_program() -> None:
    subprocess.run(["sleep", "5"], check=True, timeout=0.01)


def taken_port() -> None:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        first.listen()
        second.bind(first.getsockname())


def nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    socket.create_connection(("127.0.0.1", port), timeout=5)


def no_answer_by_url() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def no_answer_by_requests() -> None:
    import requests

    requests.get("http://127.0.0.1:9/", timeout=5)


def slow_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        client.settimeout(0.01)
        try:
            client.recv(1)
        finally:
            client.close()


def written(name: str, content: bytes | str) -> Path:
    """A file with this content."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def damaged_records() -> None:
    json.loads(written("out/finetune/winner/records.json", '[{"name": "a"').read_text())


def damaged_rows() -> None:
    for line in written("out/search/trials.jsonl", '{"trial": 0}\n{"tri').read_text().splitlines():
        json.loads(line)


def damaged_winner() -> None:
    yaml.safe_load(written("out/search/winner.yaml", "name: [regnet").read_text())


def params_in_latin_1() -> None:
    written("params.yaml", "corpus:\n  stop: [caf\xe9]\n".encode("latin-1"))
    settings.load()


def no_json_of_ours() -> None:
    json.loads('{"a":')


def damaged_table() -> None:
    import pyarrow.parquet as pq

    pq.read_table(written("out/corpus/duplicates.parquet", "this is no Parquet file, is it"))


def lost_table() -> None:
    import pyarrow.parquet as pq

    pq.read_table("out/corpus/duplicates.parquet")


def cut_archive() -> None:
    with tarfile.open(written("posts.tar", b"\x1f\x8b\x08" + bytes(20))):
        pass


def no_zip() -> None:
    zipfile.ZipFile(written("posts.zip", "no"))


def damaged_base() -> None:
    with sqlite3.connect(written("mlflow.db", b"SQLite format 3\0" + bytes(range(256)) * 8)) as base:
        base.execute("SELECT * FROM sqlite_master")


def locked_base() -> None:
    with sqlite3.connect("mlflow.db") as first, sqlite3.connect("mlflow.db", timeout=0) as second:
        first.execute("CREATE TABLE a (b)")
        first.execute("BEGIN EXCLUSIVE")
        second.execute("INSERT INTO a VALUES (1)")


def no_such_base() -> None:
    sqlite3.connect("file:missing/mlflow.db?mode=rw", uri=True)


def dead_base() -> None:
    from sqlalchemy import create_engine

    create_engine("postgresql+psycopg://u@127.0.0.1:9/b", connect_args={"connect_timeout": 2}).connect()


def refused_by_mlflow() -> None:
    from mlflow.exceptions import MlflowException

    raise MlflowException("Run 'abc' not found")


def no_repository() -> None:
    from dvc.repo import Repo

    Path(".dvc").mkdir()
    Repo()


def no_dvc_here() -> None:
    from dvc.repo import Repo

    Repo()


def wrong_setting() -> None:
    from pydantic import TypeAdapter

    TypeAdapter(dict[str, int]).validate_python({"trials": "many"})


def no_credentials() -> None:
    from botocore.exceptions import NoCredentialsError

    raise NoCredentialsError


def all_memory() -> None:
    bytearray(1 << 60)


def all_memory_of_an_array() -> None:
    import numpy as np

    np.zeros(1 << 50)


def all_memory_of_a_tensor() -> None:
    import torch

    torch.empty(1 << 50)


def all_memory_of_a_gpu() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def no_weights() -> None:
    from engine import checkpoint

    checkpoint.load(written("out/pretrain/winner/model.safetensors", "no weights"))


def lost_weights() -> None:
    from engine import checkpoint

    checkpoint.load(Path("out/pretrain/winner/model.safetensors"))


def no_corpus() -> None:
    from flows import learning

    learning.rows("hashtags", "train")


def no_package() -> None:
    import no_such_package  # noqa: F401


@pytest.mark.parametrize(
    ("make", "cause", "fix"),
    [
        (lambda: settings.backbone("winner"), "out/search/winner.yaml is missing", "run the stage search first"),
        (lambda: Path("out/finetune/winner/records.json").read_text(), "is missing", "dvc repro finetune@winner"),
        (lambda: Path("out/evaluate/records.json").read_text(), "is missing", "the stage evaluate first"),
        (lambda: next(Path("data/posts").iterdir()), "data/posts is missing", "`make data`"),
        (lambda: Path(".tagdag/x.json").read_text(), ".tagdag/x.json is gone", "run the command again"),
        (lambda: Path("small.yaml").read_text(), "small.yaml: there is no such file", "see that the path is right"),
        (folder_gone, "the folder that this command was started in is gone", "change to the project's folder"),
        (no_git, "the program git is not installed", "install it"),
        (lambda: subprocess.run(["rclone-x"], check=True), "the program rclone-x", "install it"),
        (failing_program, "ended with 1 (it is broken)", "mend what it says"),
        (slow_program, "`sleep 5` did not end in 0.01", "run it by hand"),
        (full_disk, "no space is left on the disk of", "free some (`dvc gc --workspace`"),
        (full_disk_by_name, "MiB are free", "run the command again, and it goes on"),
        (another_users_file, "out/mine: this user may not read or write it", "change its owner or mode"),
        (lambda: Path("/proc/version").write_text("x"), "the disk does not answer", "restore from a copy"),
        (too_many_files, "too many files are open at one", "ulimit -n 8192"),
        (larger_than_allowed, "larger than a file may be", "ulimit -f"),
        (lambda: Path("a" * 300).touch(), "a name longer than the file system takes", "give a shorter one"),
        (lambda: Path("/tmp").read_text(), "/tmp: there is a folder where a file must be", "move it away"),
        (lambda: Path("params.yaml/x").touch(), "params.yaml/x: there is a file where a folder", "move it away"),
        (lambda: Path("params.yaml").mkdir(exist_ok=True), "params.yaml: there is a file where a", "move it away"),
        (links_in_a_circle, "a: its links lead in a circle", "remove the link"),
        (taken_port, "the port is taken", "choose another port"),
        (nobody_listens, "the network did not answer (Connection refused)", "see that the server runs"),
        (no_answer_by_url, "a server did not answer", "see that it runs"),
        (no_answer_by_requests, "a server did not answer", "see that it runs"),
        (slow_answer, "the network did not answer (timed out)", "see that the server runs"),
        (damaged_records, "out/finetune/winner/records.json is damaged (JSON, line 1", "single-item finetune@winner"),
        (damaged_rows, "out/search/trials.jsonl is damaged (JSON", "dvc repro --force --single-item search"),
        (damaged_winner, "out/search/winner.yaml is not YAML, line 2", "--single-item search"),
        (params_in_latin_1, "params.yaml is not UTF-8 (line 2, byte 0xe9)", "save it as UTF-8"),
        (no_json_of_ours, "a file is not JSON", "mend it, or bring it back from a copy"),
        (damaged_table, "a file is no table, or damaged (", "mend it"),
        (lost_table, "out/corpus/duplicates.parquet is missing", "run the stage corpus first"),
        (cut_archive, "a file is no archive, or cut short", "bring it back"),
        (no_zip, "a file is no archive", "bring it back"),
        (damaged_base, "is damaged (SQLite says", "put a backup in its place"),
        (locked_base, "a data base is locked", "see which program has it open"),
        (no_such_base, "a data base cannot be opened", "owner and mode"),
        (dead_base, "a data base did not do its part", "TAGDAG_SEARCH_STORAGE"),
        (refused_by_mlflow, "MLflow did not do its part (Run 'abc' not found)", "see that its server runs"),
        (no_repository, "is not a git repository, as after the download of a ZIP", "git init && git add -A"),
        (no_dvc_here, "this is no folder of tagdag", "run the command from the project's top folder"),
        (wrong_setting, "a setting is not what it must be (trials: ", "mend it in params.yaml"),
        (no_credentials, "the object store did not do its part (Unable to locate cred", "AWS_ACCESS_KEY_ID"),
        (all_memory, "memory ran out (MemoryError)", "TAGDAG_ARMS=1"),
        (all_memory_of_an_array, "memory ran out (Unable to allocate", "lower recipe.micro or recipe.batch"),
        (all_memory_of_a_tensor, "memory ran out (", "lower recipe.micro"),
        (all_memory_of_a_gpu, "memory ran out (CUDA out of memory", "lower recipe.micro"),
        (no_weights, "out/pretrain/winner/model.safetensors is not a weight file", "run the stage again"),
        (lost_weights, "out/pretrain/winner/model.safetensors is missing", "run the stage pretrain@winner first"),
        (no_corpus, "out/corpus is missing", "run the stage corpus first"),
        (no_package, "a package is missing or broken (No module named", "make setup"),
        (lambda: int("two"), "invalid literal for int", "TAGDAG_TRACEBACK=1 shows where"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)  # fmt: skip
def test_a_fault_is_told_with_cause_and_fix(capsys, make, cause, fix):
    message = told(capsys, make)
    assert cause in message and fix in message
    assert message.count(". ") <= 2 and len(message) < 700


@pytest.mark.parametrize("number", sorted(osfaults.TOLD))
def test_every_refusal_of_the_system_has_words_of_its_own(number):
    message = osfaults.told(OSError(number, os.strerror(number), "out/x"))
    assert ("out/x" in message or "port" in message or "head" in message or "processes" in message) and ": " in message


@pytest.mark.parametrize(
    "error", [KeyError("x"), AssertionError("n"), ValueError("too many values to unpack")], ids=repr
)
def test_a_bug_shows_its_trace_and_where_it_is_to_be_reported(capsys, error):
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as end, command.user_errors():
        fail()
    lines = capsys.readouterr().err.splitlines()
    assert end.value.code == 1 and lines[0].startswith("Traceback") and lines[-1] == faults.REPORT


def test_a_reader_that_has_ended_is_no_trace():
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n"
    code += "from flows.command import user_errors\nwith user_errors():\n for i in range(100_000): print(i)"
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -1', sys.executable, code],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (141, "0\n")
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_what_is_sound_is_not_called_damaged(folder):
    written("out/search/winner.yaml", "name: regnet")
    written("out/search/trials.jsonl", '{"a": 1}\n\n')
    written(".tagdag/data.json", "{}")
    assert damaged.told() is None
    written(".tagdag/data.json", "{")
    assert damaged.told() == ".tagdag/data.json is damaged (JSON, line 1: Expecting property name enclosed in " \
        "double quotes): delete it, and it is made anew"  # fmt: skip
    with suppress(FileNotFoundError):
        Path(".tagdag/data.json").unlink()
