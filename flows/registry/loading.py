"""A registered version as people name it, models:/NAME@ALIAS, as a Python function of MLflow."""

import re
from typing import Any

from flows.registry.aliases import find_version
from flows.registry.modelcard import LOADS
from flows.tracking import tracking

URI = re.compile(r"models:/([^/@]+)[@/]([^/@]+)")
USUAL = "models:/tagdag@champion"


def version_of(uri: str) -> Any:
    """The version that a text names; ValueError where there is none."""
    found = URI.fullmatch(uri)
    if not found:
        raise ValueError(f"{uri!r} names no version: write {USUAL} or models:/tagdag/3")
    return find_version(found[1], found[2])


def load_function(uri: str, **config: Any) -> Any:
    """mlflow.pyfunc.load_model of a version in the registry that the project uses.

    config: model_config, such as paths=True. ValueError when there is no such version, or it was
    registered without what is needed to load it.
    """
    tracking.connect()  # first, for it tells MLflow where the registry is
    version = version_of(uri)
    if not LOADS.items() <= version.tags.items():
        raise ValueError(
            f"{uri} was registered before versions could be loaded as Python functions: run "
            "`python -m flows.register`, which adds what it lacks and says so where it cannot"
        )
    from mlflow import pyfunc

    return pyfunc.load_model(uri, model_config=config or None)
