"""What a Prefect server keeps of this project: schedules, the limit of a GPU, who works."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.running.orchestrate import orchestrated
from flows.running.prefectauth import authenticate
from flows.running.processes import gpu_count

POOL = "tagdag"
WORKERS = {"work_pool_name": POOL}
NIGHTLY = ("pipeline/tagdag", "nightly")  # the deployment, and its schedule's slug in prefect.yaml
CRON = re.compile(r"[\d*/,A-Za-z#-]+(\s+[\d*/,A-Za-z#-]+){4}")
GPU = "gpu"  # the global concurrency limit that trainings take a slot of


@contextmanager
def client() -> Iterator[Any]:
    """Prefect's client of the server that PREFECT_API_URL names."""
    authenticate()  # before Prefect is imported, which reads the environment once
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as opened:
        yield opened


def make_gpu_limit(opened: Any) -> None:
    """Make the limit where there is none: another number that a person has set stays."""
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectNotFound

    try:
        opened.read_global_concurrency_limit_by_name(GPU)
    except ObjectNotFound:
        opened.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name=GPU, limit=1, active=True)
        )


@contextmanager
def gpu_slot() -> Iterator[None]:
    """Inside, no other run of this Prefect server trains; nothing without a server or a GPU.

    Prefect asks again every few seconds whether a slot is free.
    """
    if not orchestrated() or not gpu_count():
        yield
        return
    with client() as opened:
        make_gpu_limit(opened)
    from prefect.concurrency.sync import concurrency

    # strict: without it a missing limit lets everybody pass. A training of hours must outlive a
    # server that is away when the slot's lease is to be renewed
    with concurrency(GPU, occupy=1, strict=True, raise_on_lease_renewal_failure=False):
        yield


def named(file: Path = Path("prefect.yaml")) -> list[str]:
    """The deployments of prefect.yaml, as `flow/deployment`."""
    import yaml

    listed = yaml.safe_load(file.read_text())["deployments"]
    return [f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}" for each in listed]


def schedules(opened: Any) -> dict[str, list[Any]]:
    """The schedules that the server has for each deployment of prefect.yaml that it knows."""
    from prefect.exceptions import ObjectNotFound

    found = {}
    for name in named():
        try:
            found[name] = opened.read_deployment_by_name(name).schedules
        except ObjectNotFound:
            continue
    return found


def keep_schedules(opened: Any, before: dict[str, list[Any]]) -> None:
    """Bring back what `prefect deploy` has replaced: it writes the schedules of prefect.yaml anew.

    One that prefect.yaml activates is as it says there; any other is as the server had it.
    """
    for name, old in before.items():
        deployment = opened.read_deployment_by_name(name)
        new = {each.slug: each for each in deployment.schedules if each.slug}
        for each in old:
            mine = new.get(each.slug) if each.slug else None
            if mine is None:
                asked = [(each.schedule, each.active)]
                more = {"parameters": each.parameters or None, "slug": each.slug}
                opened.create_deployment_schedules(deployment.id, asked, **more)
            elif not mine.active:
                change = {"active": each.active, "schedule": each.schedule}
                opened.update_deployment_schedule(deployment.id, mine.id, **change)


def set_nightly(cron: str) -> str:
    """Run the whole DAG at these times (UTC), or never more with `off`; says what is so now."""
    name, slug = NIGHTLY
    with client() as opened:
        deployment = opened.read_deployment_by_name(name)
        mine = next((each for each in deployment.schedules if each.slug == slug), None)
        change = {"schedule": _cron(cron), "active": True} if cron != "off" else {"active": False}
        if mine is not None:
            opened.update_deployment_schedule(deployment.id, mine.id, **change)
        elif change["active"]:  # a person has deleted it
            asked = [(change["schedule"], True)]
            opened.create_deployment_schedules(deployment.id, asked, slug=slug)
    return f"{name} runs at {cron} (UTC)" if change["active"] else "no nightly run"


def no_time(text: str) -> ValueError:
    """The error where a schedule is none."""
    fix = 'minute hour day month weekday, for example "0 3 * * *", or off'
    return ValueError(f"--nightly {text!r} is no time: give {fix}")


def _cron(text: str) -> Any:
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        return CronSchedule(cron=text, timezone="UTC")
    except ValidationError:
        raise no_time(text) from None


def check_nightly(text: str | None) -> None:
    """ValueError where a time cannot be one, before anything is started."""
    # by its form only: Prefect, which knows more, must not be imported before its server is named
    if text not in (None, "off") and not CRON.fullmatch(text.strip()):
        raise no_time(text)


def worker_since(opened: Any, began: float) -> bool:
    """Whether a worker of the pool has said that it lives after a time, in seconds since 1970."""
    from prefect.exceptions import PrefectHTTPStatusError

    after = datetime.fromtimestamp(began, UTC)
    try:
        workers = opened.request(
            "POST", "/work_pools/{work_pool_name}/workers/filter", path_params=WORKERS, json={}
        )
    except PrefectHTTPStatusError as error:
        # before its first start the worker has still to make the pool
        if error.response.status_code != 404:
            raise
        return False
    beats = [each.get("last_heartbeat_time") for each in workers.json()]
    return any(beat and datetime.fromisoformat(beat) >= after for beat in beats)
