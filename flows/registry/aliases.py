"""Aliases and versions of a registered model, asked for with errors that people understand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.tracking import tracking
from flows.tracking.address import printable_uri
from flows.tracking.outage import retry

CHAMPION = "champion"


@retry
def version_of_alias(name: str, alias: str) -> Any | None:
    """The version that an alias of a registered model points to."""
    client = tracking.connect()
    version = client.get_registered_model(name).aliases.get(alias)
    return client.get_model_version(name, str(version)) if version else None


@retry
def point_alias(name: str, alias: str, version: str) -> None:
    """Let an alias point to a version."""
    tracking.connect().set_registered_model_alias(name, alias, version)


@contextmanager
def _as_value_error(message: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ValueError(message) from None


@retry
def registered_model(name: str) -> Any:
    """A registered model with its aliases and tags; ValueError where there is none."""
    known = f"the registry at {printable_uri()} has no model {name!r}"
    fix = "name one that is there (--name), set MLFLOW_TRACKING_URI, or run the stage register"
    with _as_value_error(f"{known}: {fix}"):
        return tracking.connect().get_registered_model(name)


@retry
def find_version(name: str, wanted: str) -> Any:
    """The version of a number or an alias, whole and not deleted; ValueError where it is not."""
    aliases = registered_model(name).aliases
    number = str(aliases.get(wanted, wanted))
    if not number.isascii() or not number.isdigit():
        known = ", ".join(sorted(aliases)) or "none"
        raise ValueError(
            f"{name!r} has no alias {wanted!r}: name a version by its number, or an alias: {known}"
        )
    fix = "`python -m flows.versions` lists those that there are"
    with _as_value_error(f"{name!r} has no version {number}, or it was deleted: {fix}"):
        found = tracking.connect().get_model_version(name, number)
    if found.status != "READY":
        raise ValueError(
            f"version {number} of {name!r} is not whole ({found.status}): register it again "
            "(dvc repro --single-item --force register)"
        )
    return found
