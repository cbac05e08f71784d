"""Registered models of tasks: their names, and what is said where one is not in the registry."""

from pathlib import Path

import pytest

from flows.registry import names
from flows.registry.absent import missing_registry
from flows.running import settings
from tests.support.records import record, registered

BIRDS = {"task": "birds", "data": "targets/birds"}


@pytest.fixture
def two_tasks(place, monkeypatch) -> None:
    params = settings.load_params()
    tasks = {"scenes": params["tasks"]["scenes"], "birds": params["tasks"]["scenes"]}
    changed = params | {"tasks": tasks, "register": {"name": "models"}}
    monkeypatch.setattr(settings, "load_params", lambda: changed)


def test_the_first_task_has_the_name_of_params_and_others_their_own(two_tasks):
    assert names.model_names() == ["models", "models-birds"]
    assert names.model_name(None) == names.model_name("scenes") == "models"
    assert names.model_name("birds") == "models-birds"
    assert names.model_name("another") == "another"


def test_a_report_of_versions_that_are_elsewhere_is_told(two_tasks):
    assert missing_registry() is None  # there is no report
    registered(record("a", 60, 60, 50), record("b", 60, 60, 50, **BIRDS))
    assert missing_registry() is None
    Path("mlflow.db").rename("away.db")
    assert "the report names versions of 'models' that the registry" in missing_registry()
