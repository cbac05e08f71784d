"""Where MLflow keeps files: TAGDAG_ARTIFACTS, such as s3://bucket/mlflow, else by its own choice.

By itself a data base has files in the folder mlruns of whoever logs, which others do not see, and a
server where it was told to. Credentials come from the usual chain of S3 alone: AWS_ACCESS_KEY_ID
and AWS_SECRET_ACCESS_KEY, a profile, a role of the machine; AWS_ENDPOINT_URL_S3 names another S3.
"""

import sys

from corpus.sources import s3
from engine.core.environment import value
from flows.running.orchestrate import log


def place() -> str | None:
    """The address that the project's experiment is made with."""
    return (value("TAGDAG_ARTIFACTS") or "").rstrip("/") or None


def check_place() -> None:
    """ValueError, before anything is trained, where the bucket cannot be written to."""
    if not place():
        return
    url = f"{place()}/.tagdag"
    bucket, key = s3.split_url(url)
    s3.retried(url, lambda: s3.client().put_object(Bucket=bucket, Key=key, Body=b""))


def warn_of_other(location: str) -> None:
    """Warn where the experiment was made with another place, which MLflow never changes."""
    if place() and location.rstrip("/") != place():
        log.warning(
            "files go to %s, where the experiment was made, not to TAGDAG_ARTIFACTS=%s: unset it, "
            "or name another data base",
            location.partition("?")[0],
            place(),
        )


def s3_error(error: BaseException | None) -> Exception | None:
    """The error of S3 itself that another one was raised for, if there is one."""
    # nothing of S3's was raised where its client was never imported
    if "botocore" not in sys.modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    while error is not None and not isinstance(error, BotoCoreError | ClientError):
        error = error.__cause__ or error.__context__
    return error


def is_unreachable(error: Exception) -> bool:
    """Whether nobody answers at S3's address: it did when the run began (`check_place`)."""
    from botocore.exceptions import ConnectionError

    return isinstance(error, ConnectionError)
