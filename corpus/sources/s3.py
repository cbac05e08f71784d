"""s3:// as a source: objects listed page by page, streamed, or downloaded in parts that a later
run goes on from.

Credentials and the endpoint of another S3 server come from the environment, as boto3 reads them
(AWS_ENDPOINT_URL_S3). What fails for a moment (a dropped connection, 5xx, 429) is tried again with
growing pauses; botocore's own retries are off, because they end where the body begins. Servers
differ in conditional requests (some ignore If-Match), so an object's ETag and size are compared
with those of every part that arrives.
"""

import functools
import io
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from corpus.sources.rows import Refused

ATTEMPTS, PAUSE = 6, 0.25  # seconds, doubled each time: 8 s in all
PAGE = 1000  # keys of one listing request
CHUNK = 1 << 20
TRANSIENT = {
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "Throttling",
}
FIXES = {
    "NoSuchBucket": "check the bucket's name and AWS_ENDPOINT_URL_S3",
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "network": "check AWS_ENDPOINT_URL_S3 and the network",
}
RIGHTS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the right to list and get, or to put"
T = TypeVar("T")


class Unreachable(ValueError):
    """S3 failed for good; whoever reads adds how far it came."""


class Changed(Exception):
    """The object is another one than when its reading began."""


def split_url(url: str) -> tuple[str, str]:
    """(bucket, key) of s3://bucket/key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def client():
    """The boto3 client of the present environment."""
    return _client(
        tuple(
            sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
        )
    )


@functools.lru_cache(1)
def _client(_environment: tuple):  # boto3 reads the environment itself; here it is the cache's key
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        # some servers answer a range with the whole object's sum
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", config=config)


def _code(error: Exception) -> str:
    """S3's own word for an error; none for one of the connection."""
    answer = getattr(error, "response", None)
    return answer.get("Error", {}).get("Code", "unknown") if isinstance(answer, dict) else ""


def passing(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    from botocore.exceptions import (
        ClientError,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
    )

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or _code(error) in TRANSIENT
    return isinstance(
        error, HTTPClientError | IncompleteReadError | ResponseStreamingError | OSError
    )


def told(url: str, error: Exception) -> Exception:
    """The error for the user, without a credential: FileNotFoundError if only the object lacks,
    else Unreachable.
    """
    code = _code(error)
    if code in ("NoSuchKey", "404"):
        return FileNotFoundError(url)
    if code:
        return Unreachable(f"S3 refused {url} ({code}); {FIXES.get(code, RIGHTS)}")
    fix = FIXES.get(type(error).__name__, FIXES["network"])
    what = re.sub(
        r"//[^/@\s]*@", "//", str(error)
    )  # an endpoint may be written with user:password@
    return Unreachable(f"S3 cannot be used for {url}: {what}; {fix}")


def retried(url: str, request: Callable[[], T]) -> T:
    """The request's result, tried again while it fails in passing.

    Else FileNotFoundError or Unreachable.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    for attempt in range(ATTEMPTS):
        try:
            return request()
        except (BotoCoreError, ClientError, HTTPError, ConnectionError, TimeoutError) as error:
            if attempt + 1 == ATTEMPTS or not (passing(error) or isinstance(error, HTTPError)):
                raise told(url, error) from None
            time.sleep(PAUSE * 2**attempt * random.uniform(0.5, 1))  # not all threads at once
    raise AssertionError("unreachable")


def open_object(url: str) -> dict[str, Any]:
    """The answer to a GET, its Body unread: size, ETag and, where it fails, a reason, which HEAD
    never gives.
    """
    bucket, key = split_url(url)
    return retried(url, lambda: client().get_object(Bucket=bucket, Key=key))


def keys(url: str) -> Iterator[str]:
    """Addresses below s3://bucket/prefix in the server's order, a page in memory at a time."""
    bucket, prefix = split_url(url)
    page: dict[str, Any] = {"NextContinuationToken": None, "IsTruncated": True}
    while page.get("IsTruncated"):
        token = page.get("NextContinuationToken")
        more = {"ContinuationToken": token} if token else {}
        request = functools.partial(
            client().list_objects_v2, Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **more
        )
        page = retried(url, request)
        if page.get("IsTruncated") and page.get("NextContinuationToken") in (None, token):
            raise Unreachable(
                f"S3 lists {url} without an end; name the objects one by one, {{00000..00009}}"
            )
        yield from (f"s3://{bucket}/{item['Key']}" for item in page.get("Contents", ()))


def get(url: str, limit: int) -> bytes:
    """The whole object; Refused above `limit` bytes, FileNotFoundError if it lacks, Unreachable
    if S3 fails.
    """
    bucket, key = split_url(url)

    def read() -> bytes:
        answer = client().get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > limit:
            answer["Body"].close()
            raise Refused(f"file of {answer['ContentLength']:,} bytes, allowed are {limit:,}")
        return answer["Body"].read()

    return retried(url, read)


def part(url: str, etag: str, first: int, last: int):
    """The open body of bytes first..last; Changed if the object is another one by now."""
    bucket, key = split_url(url)
    answer = client().get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
    if answer["ETag"] != etag or answer["ContentLength"] != last - first + 1:
        answer["Body"].close()
        raise Changed(url)
    return answer["Body"]


class Stream(io.RawIOBase):
    """An object read from front to back, in constant memory.

    A connection that drops is taken up where it ended.
    """

    def __init__(self, url: str):
        answer = open_object(url)
        self.url, self.etag, self.size = url, answer["ETag"], answer["ContentLength"]
        self.at, self.body = 0, answer["Body"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        if self.at >= self.size:
            return 0
        try:
            data = retried(self.url, functools.partial(self._read, len(buffer)))
        except Changed:
            raise Unreachable(f"{self.url} changed while it was read; run again") from None
        except FileNotFoundError:
            raise Unreachable(
                f"{self.url} was deleted while it was read; put it back and run again"
            ) from None
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)

    def _read(self, length: int) -> bytes:
        if self.body is None:
            self.body = part(self.url, self.etag, self.at, self.size - 1)
        try:
            data = self.body.read(length)
            if not data:
                raise ConnectionError("the body ended early")
            return data
        except Exception:
            self.body.close()
            self.body = None  # the next attempt asks from here on
            raise

    def close(self) -> None:
        if self.body is not None:
            self.body.close()
        super().close()
