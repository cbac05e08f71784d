"""What a Prefect server tries again: outages, and nothing else."""

import botocore.exceptions
import httpx
import pytest
import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from prefect.task_engine import TaskRunTimeoutError

from flows.running.retry import Away
from flows.tracking import again


def slow_down(status: int) -> Exception:
    answer = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "GetObject")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


OUTAGES = [
    Away("MLflow took no more metrics"),
    ConnectionRefusedError("refused"),
    TimeoutError("a socket's"),
    sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection")),
    requests.ConnectionError("away"),
    httpx.ConnectError("away"),
    botocore.exceptions.EndpointConnectionError(endpoint_url="http://h"),
    slow_down(503),
    caused(ValueError("its weights cannot be had"), ConnectionResetError("reset")),
]
OTHERS = [
    ValueError("lower recipe.rate"),
    KeyError("head"),
    ZeroDivisionError(),
    FileNotFoundError("out/corpus"),
    MlflowException("no such param", error_code=1000),
    sqlalchemy.exc.ProgrammingError("SELEC", {}, Exception("syntax")),
    slow_down(403),
    TaskRunTimeoutError("longer than TAGDAG_STAGE_HOURS"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
def test_an_outage_is_worth_another_try(error):
    assert again.is_outage(error)


@pytest.mark.parametrize("error", [*OTHERS, None], ids=repr)
def test_a_bug_a_refusal_and_a_time_limit_are_not(error):
    assert not again.is_outage(error)


def test_settings_are_those_of_the_environment(monkeypatch):
    assert again.stage_settings()["retry_delay_seconds"] == [10]
    assert "timeout_seconds" not in again.stage_settings()
    monkeypatch.setenv("TAGDAG_RETRIES", "3")
    monkeypatch.setenv("TAGDAG_RETRY_SECONDS", "0.5")
    monkeypatch.setenv("TAGDAG_STAGE_HOURS", "2")
    found = again.stage_settings()
    assert (found["retries"], found["timeout_seconds"]) == (3, 7200)
    assert found["retry_delay_seconds"] == [0.5, 1, 2]
    monkeypatch.setenv("TAGDAG_RETRIES", "0")
    assert again.outage_settings() == {}
