"""A real S3 server, and one that fails: listing, streaming, downloads in parts that go on after
a kill.
"""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from boto3.s3.transfer import TransferConfig

from corpus.sources import downloads, s3
from corpus.sources.downloads import download
from corpus.sources.rows import Refused
from tests.support.faults import proxy

DATA = np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8).tobytes()
PART = 100_000
SCRIPT = """
import sys
from pathlib import Path
from corpus.sources import downloads
downloads.PART, downloads.THREADS = 100_000, 2
downloads.download(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.fixture
def broken(s3, monkeypatch):
    """The bucket `s3.bucket` with DATA as `big.bin`, behind a proxy.

    Parts small and pauses short.
    """
    s3.client.put_object(Bucket=s3.bucket, Key="big.bin", Body=DATA)
    monkeypatch.setattr(downloads, "PART", PART)
    monkeypatch.setattr("corpus.sources.s3.PAUSE", 0.01)
    with proxy(s3.endpoint) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.endpoint)
        faulty.url, faulty.bucket, faulty.client = f"s3://{s3.bucket}/big.bin", s3.bucket, s3.client
        yield faulty


def ranges(faulty) -> list[str]:
    return [request.range for request in faulty.requests if request.range]


def test_a_download_is_whole_and_made_once(broken, tmp_path):
    seen = []
    path = download(broken.url, tmp_path, lambda *told: seen.append(told))
    assert (
        path.read_bytes() == DATA and len(ranges(broken)) == 10 and seen[-1][0] == len(DATA) >> 20
    )
    assert list(tmp_path.iterdir()) == [path] and path.name.endswith("-big.bin")
    assert download(broken.url, tmp_path) == path and len(ranges(broken)) == 10


@pytest.mark.parametrize("fault", ["drop", "cut", 500, 503])
def test_failures_in_passing_are_tried_again(broken, tmp_path, fault):
    broken.fault = lambda request: fault if request.number % 3 == 2 else None
    assert download(broken.url, tmp_path).read_bytes() == DATA
    with s3.Stream(broken.url) as stream:
        assert stream.readall() == DATA
    assert s3.get(broken.url, len(DATA)) == DATA


def test_a_stream_goes_on_from_where_it_was_cut(broken):
    broken.fault = lambda request: "cut" if request.number < 4 else None
    with s3.Stream(broken.url) as stream:
        assert stream.readall() == DATA
    assert ranges(broken) == ["bytes=500000-999999", "bytes=750000-999999", "bytes=875000-999999"]


def test_a_bucket_that_fails_halfway_is_told_and_the_next_run_goes_on(broken, tmp_path):
    broken.fault = lambda request: 403 if len(ranges(broken)) > 6 else None
    with pytest.raises(s3.Unreachable, match=r"AccessDenied.*right to list and get"):
        download(broken.url, tmp_path)
    record = next(tmp_path.glob("*.parts")).read_text().split()
    assert len(record) - 6 >= 3  # its first line is JSON of six words
    broken.fault, before = lambda request: None, len(ranges(broken))
    assert download(broken.url, tmp_path).read_bytes() == DATA
    assert len(ranges(broken)) - before == 10 - (len(record) - 6)


def test_a_killed_download_asks_only_for_what_lacks(broken, tmp_path):
    gate = threading.Event()

    def fault(request):
        if len(ranges(broken)) > 6:
            gate.wait(30)

    broken.fault = fault
    command = [sys.executable, "-c", SCRIPT, broken.url, str(tmp_path)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        deadline = time.monotonic() + 60
        while len(ranges(broken)) < 8 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        gate.set()
    done = downloads._done(downloads._target(broken.url, tmp_path))
    assert 4 <= len(done) <= 6
    time.sleep(0.2)  # what the killed one asked for is sent to nobody
    first, broken.fault = len(ranges(broken)), lambda request: None
    assert download(broken.url, tmp_path).read_bytes() == DATA
    asked = [
        int(part.removeprefix("bytes=").split("-")[0]) // PART for part in ranges(broken)[first:]
    ]
    assert sorted(asked) == sorted(set(range(10)) - done)


def test_an_object_that_changes_is_read_anew(broken, tmp_path):
    other = bytes(reversed(DATA))

    def fault(request):
        if len(ranges(broken)) == 5 and request.range:
            broken.client.put_object(Bucket=broken.bucket, Key="big.bin", Body=other)

    broken.fault = fault
    assert download(broken.url, tmp_path).read_bytes() == other


def test_damage_on_the_disk_is_found_by_md5(broken, tmp_path):
    broken.fault = lambda request: 403 if len(ranges(broken)) > 6 else None
    with pytest.raises(s3.Unreachable):
        download(broken.url, tmp_path)
    broken.fault = lambda request: None
    [part] = tmp_path.glob("*.part")
    with part.open("r+b") as file:
        for number in downloads._done(downloads._target(broken.url, tmp_path)) or pytest.fail(
            "nothing was kept"
        ):
            file.seek(number * PART)
            file.write(b"damaged!")
    assert download(broken.url, tmp_path).read_bytes() == DATA


def test_listing_goes_from_page_to_page(broken, monkeypatch):
    for number in range(7):
        broken.client.put_object(Bucket=broken.bucket, Key=f"many/{number} ü+%.txt", Body=b"")
    monkeypatch.setattr(s3, "PAGE", 3)
    broken.fault = lambda request: 503 if request.number == 2 else None
    found = list(s3.keys(f"s3://{broken.bucket}/many/"))
    assert found == [f"s3://{broken.bucket}/many/{number} ü+%.txt" for number in range(7)]
    assert len([request for request in broken.requests if "list-type=2" in request.path]) >= 4


def test_empty_and_too_large_objects(broken, tmp_path):
    broken.client.put_object(Bucket=broken.bucket, Key="empty", Body=b"")
    url = f"s3://{broken.bucket}/empty"
    assert download(url, tmp_path).read_bytes() == s3.get(url, 1) == s3.Stream(url).read() == b""
    with pytest.raises(Refused, match="file of 1,000,000 bytes, allowed are 999,999"):
        s3.get(broken.url, 999_999)
    with pytest.raises(FileNotFoundError):
        download(f"{broken.url}.none", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bucket": "no-such-bucket"}, "NoSuchBucket.*check the bucket"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, "SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "credentials.*set AWS_ACCESS_KEY_ID",
        ),
        (
            {"AWS_ENDPOINT_URL_S3": "http://me:secret@127.0.0.1:9"},
            "http://127.0.0.1:9.*AWS_ENDPOINT_URL_S3",
        ),
    ],
)
@pytest.mark.parametrize(
    "read", [lambda url, to: s3.Stream(url), download, lambda url, to: s3.get(url, 99)]
)
def test_failures_say_what_to_do_and_no_secret(tmp_path, s3, monkeypatch, change, message, read):
    monkeypatch.setattr("corpus.sources.s3.PAUSE", 0.01)
    s3.client.put_object(Bucket=s3.bucket, Key="m.csv", Body=b"image")
    bucket = change.get("bucket", s3.bucket)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in change.keys() & s3.env.keys():
        monkeypatch.setenv(name, change[name])
    with pytest.raises(ValueError, match=message) as error:
        read(f"s3://{bucket}/m.csv", tmp_path)
    assert "secret" not in str(error.value).replace("AWS_SECRET_ACCESS_KEY", "")


def test_a_disk_without_room_is_told(broken, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(s3.Unreachable, match=r"cannot be written.*make room"):
        download(broken.url, tmp_path / "file" / "spool")


@pytest.fixture
def moto(monkeypatch):
    """A second kind of server, whose ETag of a multi-part upload is no MD5.

    A boto3 client of it.
    """
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    env = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in (env | {"AWS_ENDPOINT_URL_S3": f"http://{host}:{port}"}).items():
        monkeypatch.setenv(name, value)
    yield s3.client()
    server.stop()


def test_an_object_uploaded_in_parts_on_another_server(moto, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PART", 5_000_000)
    moto.create_bucket(Bucket="parts")
    whole = DATA * 12
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    moto.upload_fileobj(io.BytesIO(whole), "parts", "x.tar", Config=config)
    assert "-" in moto.head_object(Bucket="parts", Key="x.tar")["ETag"]
    assert download("s3://parts/x.tar", tmp_path).read_bytes() == whole
    for number in range(5):
        moto.put_object(Bucket="parts", Key=f"list/{number}", Body=b"")
    monkeypatch.setattr(s3, "PAGE", 2)
    assert list(s3.keys("s3://parts/list/")) == [f"s3://parts/list/{number}" for number in range(5)]
    with pytest.raises(s3.Unreachable, match="NoSuchBucket"):
        list(s3.keys("s3://none/"))
