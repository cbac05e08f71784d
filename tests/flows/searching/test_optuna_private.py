"""What tagdag relies on in Optuna without its promise: each test fails when a version ends it."""

import sqlite3
import time

import optuna
import psutil
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from flows.searching import optuna_private

CHANGED = "Optuna has changed: see flows/searching/optuna_private.py"


@pytest.fixture
def storage(tmp_path):
    """A storage whose heartbeats count."""
    with optuna_private.heartbeats_allowed():
        return RDBStorage(f"sqlite:///{tmp_path}/a.db", heartbeat_interval=1, grace_period=1)


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.FAIL])
def test_a_result_of_a_trial_that_has_ended_is_refused_in_known_words(study, state):
    def ended_elsewhere(trial):
        values = [1.0] if state == TrialState.COMPLETE else None
        study.tell(trial.number, values, state=state)
        return 2.0

    with pytest.raises(optuna_private.ERRORS_OF_OPTIMIZE) as raised:
        study.optimize(ended_elsewhere, n_trials=1)
    assert optuna_private.ended_meanwhile(optuna_private.hidden_cause(raised.value)), CHANGED


def test_other_errors_are_no_trials_that_have_ended():
    assert not optuna_private.ended_meanwhile(ValueError("search.pruner: it cannot end"))
    assert not optuna_private.ended_meanwhile(None)


def away(*_, **__):
    raise OperationalError("UPDATE trials", {}, Exception("the server closed the connection"))


def away_within(*_, **__):
    raise StorageInternalError("An exception is raised during the commit.")


@pytest.mark.parametrize("fails", [away, away_within])
@pytest.mark.parametrize("call", ["set_trial_state_values", "get_trial"])
def test_a_storage_that_goes_away_is_the_cause_of_what_optimize_raises(
    study, storage, monkeypatch, fails, call
):
    def objective(trial):
        monkeypatch.setattr(study._storage, call, fails)
        return 1.0

    with pytest.raises(optuna_private.ERRORS_OF_OPTIMIZE) as raised:
        study.optimize(objective, n_trials=1)
    assert isinstance(optuna_private.hidden_cause(raised.value), optuna_private.AWAY), CHANGED


def test_tables_of_another_program_are_refused_in_known_words(tmp_path, storage):
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as base:
        base.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        base.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")  # one of MLflow's
    with pytest.raises(RuntimeError) as raised:
        RDBStorage(f"sqlite:///{file}")
    assert optuna_private.of_other_tables(raised.value), CHANGED
    assert not optuna_private.of_other_tables(RuntimeError("CUDA out of memory"))


def test_a_transaction_of_sqlite_locks_from_its_begin(tmp_path):
    url, options = f"sqlite:///{tmp_path}/b.db", {"timeout": 0.1, "isolation_level": None}
    both = [RDBStorage(url, engine_kwargs={"connect_args": options}) for _ in range(2)]
    for one in both:
        optuna_private.lock_from_begin(one)
    with both[0].engine.begin(), pytest.raises(OperationalError, match="locked"):
        both[1].engine.begin().__enter__()


def test_a_storage_that_is_disconnected_holds_no_file(storage, tmp_path):
    def held() -> list[str]:
        opened = psutil.Process().open_files()
        return [file.path for file in opened if file.path.startswith(str(tmp_path))]

    storage.get_all_studies()
    assert held()
    optuna_private.disconnect(storage)
    assert not held(), CHANGED


def test_a_worker_without_signs_of_life_loses_its_trial_silently(study, storage, recwarn):
    trial = study.ask()
    storage.record_heartbeat(trial._trial_id)
    time.sleep(2.1)
    optuna_private.fail_stale(study)
    assert study.trials[0].state == TrialState.FAIL, CHANGED
    assert not [one for one in recwarn if "xperimental" in str(one.category)]
