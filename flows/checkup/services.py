"""What `tagdag doctor` asks of services: MLflow, Prefect's server, the remotes of DVC.

Each check appends the Date that a server has answered with, for the check of the clock.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from corpus.names import printable
from flows.checkup.finding import NOTE, OK, WRONG, Finding
from flows.running import prefectauth, sqlite
from flows.running.dvc_private import repository
from flows.tracking import address, store

ANSWER = 5  # seconds to wait for a server


def mlflow(dates: list[str]) -> Finding:
    """Whether MLflow answers and has this release's tables."""
    file = address.sqlite_file()
    if file is not None and not file.exists():
        return Finding(OK, f"{file.name} will be made by the first run")
    if file is None:
        store.reach_store()
    else:
        # not `reach_store`, which makes and mends
        sqlite.check_readable(file, "MLflow's data base")
    with store.explained():
        from mlflow import MlflowClient

        MlflowClient(address.tracking_uri()).search_experiments(max_results=1)
    if file is None and address.tracking_uri().startswith("http"):
        dates.extend(filter(None, [store.ask("/health").headers.get("Date")]))
    return Finding(OK, f"{address.printable_uri()} answers")


def prefect(dates: list[str]) -> Finding:
    """Whether the Prefect server that is named answers, and is of the release that is here."""
    url = os.environ.get("PREFECT_API_URL") or prefectauth.prefect_profile().get("PREFECT_API_URL")
    if not url:
        return Finding(OK, "no server is named, and none is needed")
    from importlib.metadata import version

    import requests

    prefectauth.authenticate()
    auth = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    told = prefectauth.server_of(url) or (urlsplit(url).hostname, urlsplit(url).port)
    named = f"http://{told[0]}:{told[1]}"
    try:
        answer = requests.get(
            f"{url.rstrip('/')}/admin/version", auth=(auth[0], auth[2]), timeout=ANSWER
        )
    except requests.RequestException:
        needed = bool(os.environ.get("PREFECT_API_URL"))
        fix = "tagdag up starts it; or unset PREFECT_API_URL"
        return Finding(WRONG if needed else OK, f"{named} does not answer", fix if needed else "")
    dates.extend(filter(None, [answer.headers.get("Date")]))
    if answer.status_code in (401, 403):
        return Finding(WRONG, f"{named} refuses the auth string", "set PREFECT_API_AUTH_STRING")
    theirs, ours = str(answer.json()), version("prefect")
    if theirs != ours:
        fix = "install the server's release here, or update the server"
        return Finding(NOTE, f"{named} has Prefect {theirs}, here is {ours}", fix)
    return Finding(OK, f"{named} answers, Prefect {ours}")


def _s3(url: str, config: dict[str, Any], dates: list[str]) -> Finding:
    """A bucket listed by one key, with the credentials of the usual chain."""
    import boto3
    from botocore.config import Config

    keys = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key"}
    given = {name: config[key] for name, key in keys.items() if config.get(key)}
    session = boto3.session.Session(profile_name=config.get("profile"), **given)
    waits = Config(connect_timeout=ANSWER, read_timeout=ANSWER, retries={"total_max_attempts": 1})
    client = session.client("s3", endpoint_url=config.get("endpointurl"), config=waits)
    parts = urlsplit(url)
    answer = client.list_objects_v2(Bucket=parts.netloc, Prefix=parts.path.lstrip("/"), MaxKeys=1)
    dates.extend(filter(None, [answer["ResponseMetadata"]["HTTPHeaders"].get("date")]))
    return Finding(OK, f"s3://{parts.netloc} answers")


def remote(url: str, config: dict[str, Any], dates: list[str]) -> Finding:
    """Whether one remote can be reached; `config`: its section of DVC."""
    if url.startswith("s3://"):
        return _s3(url, config, dates)
    shown = printable(url.rpartition("@")[2])
    if "://" in url:
        return Finding(NOTE, f"{shown} is not looked at", "try it: dvc status --cloud")
    place = Path(url)
    if not place.is_dir():
        return Finding(NOTE, f"{shown} is not there yet", "dvc push makes it")
    if not os.access(place, os.R_OK | os.W_OK):
        return Finding(WRONG, f"{shown} cannot be written to", "change its owner or its mode")
    return Finding(OK, f"{shown} can be written to")


def remotes(dates: list[str]) -> Finding:
    """Whether the remotes of DVC can be reached."""
    with repository() as repo:
        known = {name: dict(config) for name, config in repo.config["remote"].items()}
    if not known:
        return Finding(OK, "none: data/ is on this machine only")
    found = [(name, remote(each["url"], each, dates)) for name, each in known.items()]
    order = (OK, NOTE, WRONG)
    worst = max(found, key=lambda each: order.index(each[1].state))[1]
    told = "; ".join(f"{printable(name)}: {each.found}" for name, each in found)
    return Finding(worst.state, told, worst.fix)
