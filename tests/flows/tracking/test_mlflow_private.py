"""What is used of MLflow beyond its documented API is there."""

import inspect
import logging

import pytest

from flows.running import sqlite
from flows.tracking import mlflow_private


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    found = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow_private.make_tables(found, found.parent / "mlruns")
    return found


@pytest.mark.parametrize("table", mlflow_private.FILLED)
def test_tables_by_which_an_empty_store_is_known(file, table):
    kept = sqlite.query_rows(file, f"SELECT count(*) FROM {table}")
    assert kept == [(1,)] if table == mlflow_private.EXPERIMENTS else kept == [(0,)]


@pytest.mark.parametrize(("table", "column"), mlflow_private.PLACES)
def test_columns_with_paths_of_artifacts(file, table, column):
    assert column in {row[1] for row in sqlite.query_rows(file, f"PRAGMA table_info({table})")}


def test_no_other_column_holds_a_path_of_artifacts(file):
    tables = [name for (name,) in sqlite.query_rows(file, "SELECT name FROM sqlite_master")]
    found = set()
    for table in tables:
        for row in sqlite.query_rows(file, f"PRAGMA table_info({table})"):
            if "artifact" in row[1] or "location" in row[1]:
                found.add((table, row[1]))
    found = {(table, column) for table, column in found if table != "workspaces"}  # of a server
    assert found <= set(mlflow_private.PLACES)


def test_names_that_mlflow_gives():
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    assert mlflow_private.DELETED == STAGE_DELETED_INTERNAL
    assert mlflow_private.VERSIONS == MLFLOW_MODEL_VERSIONS


def test_messages_that_errors_are_known_by():
    from mlflow.store.db import utils
    from mlflow.store.tracking import sqlalchemy_store

    assert mlflow_private.OUTDATED in inspect.getsource(utils)
    assert mlflow_private.PARAM_CHANGED in inspect.getsource(sqlalchemy_store)


def test_loggers_that_speak_of_tables_are_there(file, monkeypatch):
    from mlflow.store.db import utils

    assert utils._logger.name == "mlflow.store.db.utils"
    monkeypatch.setattr(utils._logger, "level", logging.INFO)
    mlflow_private.quiet_loggers()
    assert not utils._logger.isEnabledFor(logging.ERROR)


def test_what_deletes_for_good_is_there_beside_a_data_base_and_not_through_a_server():
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    used = ("_hard_delete_run", "_hard_delete_logged_model", "_get_deleted_logged_models")
    assert all(hasattr(SqlAlchemyStore, name) for name in used)
    assert not hasattr(RestStore, "_hard_delete_run")
