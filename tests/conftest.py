"""Fixtures that more than one file of tests needs."""

import fcntl
import hashlib
import os
import shutil
import signal
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.postgres import postgres
from benchmarks.s3 import s3_server
from benchmarks.screens import chromium

# the files that take longest, in this order: begun last, one of them would be waited for alone
LONGEST = ("test_pipeline", "test_search", "test_schedule", "test_distributed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session", autouse=True)
def heeds_ctrl_c():
    """A shell's background jobs ignore SIGINT, and so would the tests that send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def dvc_logs_to_what_lives():
    """DVC's logger keeps the stdout of its import, which in a test would be closed by its end."""
    import dvc  # noqa: F401


PACKS = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """`pack("cifar10")`: the folder that a real data pack unpacks to, once a session.

    Skips where packs are absent.
    """
    unpacked: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        archive = PACKS / f"{name}.tar.xz"
        if not archive.is_file():
            pytest.skip(f"the real data pack {archive.name} is not on this machine")
        if name not in unpacked:
            folder = tmp_path_factory.mktemp("packs")
            with tarfile.open(archive) as tar:
                tar.extractall(
                    folder, filter="data"
                )  # only `data` members: no absolute path, link or device leaves it
            [unpacked[name]] = folder.iterdir()
        return unpacked[name]

    return unpack


@pytest.fixture
def one_thread():
    """torch with a single thread: timings and kernels do not depend on what else runs."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", name="s3_server")
def running_s3():
    """A real S3 server that checks signatures: benchmarks/s3.py."""
    try:
        with s3_server() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def s3(s3_server, monkeypatch, request):
    """An empty bucket and the environment that reaches it: `.bucket`, `.client` (boto3),
    `.endpoint`, `.env`.
    """
    import boto3

    env = s3_server.env
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    client = boto3.session.Session().client(
        "s3"
    )  # the default session would keep an earlier test's keys
    client.create_bucket(Bucket=bucket)  # not by mkdir: rclone remembers which folders there were
    return SimpleNamespace(bucket=bucket, client=client, endpoint=s3_server.endpoint, env=env)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow data base without runs; to make its tables takes seconds."""
    import mlflow

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def place(tmp_path, monkeypatch, empty_store):
    """A folder with params.yaml and a fresh MLflow store."""
    from flows.tracking import tracking

    params = Path("params.yaml").resolve().read_text()
    monkeypatch.chdir(tmp_path)
    # by its whole path: MLflow keeps a store per address, and a relative one would be that of the
    # first test
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    Path("params.yaml").write_text(params)
    shutil.copyfile(empty_store, "mlflow.db")
    tracking.connect.cache_clear()
    tracking.sender.cache_clear()
    yield tmp_path
    tracking.connect.cache_clear()
    tracking.sender.cache_clear()


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL: `.url`, `.start()`, `.stop()`."""
    try:
        with postgres() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def empty_prefect(tmp_path_factory) -> Path:
    """A data base of Prefect's server without rows; to make its tables takes seconds."""
    from tests.support.commands import run

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all processes of the tests
    file = shared / "prefect" / "prefect.db"
    with (shared / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            make = ("python", "-m", "prefect", "server", "database", "upgrade", "-y")
            run(shared, *make, new=True, PREFECT_HOME=str(file.parent))
    return file


# not for the session: its services look for work all the time, a tenth of a core until the end
@pytest.fixture(scope="module")
def guarded(tmp_path_factory, empty_prefect):
    """Prefect's server as `make prefect` starts it, one for the tests of a file."""
    from tests.support.servers import prefect_server

    home = tmp_path_factory.mktemp("guarded")
    shutil.copyfile(empty_prefect, home / "prefect.db")
    with prefect_server(home) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    try:
        with chromium() as started:
            yield started
    except ValueError as error:
        pytest.skip(str(error))
