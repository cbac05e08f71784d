"""Faults made for real: what a full disk, a damaged file, a dead server and others raise."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.services import free_port
from flows.running import settings
from tests.support import params

NOBODY = 65534


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
    port = free_port()
    socket.create_connection(("127.0.0.1", port), timeout=5)


def no_answer_by_url() -> None:
    port = free_port()
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
    settings.load_params()


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
    file = written("mlflow.db", b"SQLite format 3\0" + bytes(range(256)) * 8)
    with sqlite3.connect(file) as base:
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

    address = "postgresql+psycopg://u@127.0.0.1:9/b"
    create_engine(address, connect_args={"connect_timeout": 2}).connect()


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
    from engine.core import checkpoint

    checkpoint.load_tensors(written("out/pretrain/winner/model.safetensors", "no weights"))


def lost_weights() -> None:
    from engine.core import checkpoint

    checkpoint.load_tensors(Path("out/pretrain/winner/model.safetensors"))


def no_winner() -> None:
    params.committed()
    settings.backbone_section("winner")


def no_corpus() -> None:
    from flows.training import learning

    learning.split_samples("hashtags", "train", {"name": "hashtags"})


def no_package() -> None:
    import no_such_package  # noqa: F401
