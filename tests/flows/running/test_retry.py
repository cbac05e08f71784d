"""Calls that are made again while a service is away: how often, how long, what is logged."""

import itertools
import logging

import pytest

from flows.running import retry as retrying
from flows.running.retry import Outage, Retry, backoff

VARIABLE = "TAGDAG_MLFLOW_PATIENCE"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(retrying, "time", found)
    return found


def made(failure=lambda error: error) -> Retry:
    return Retry(
        outage=Outage("the service"),
        variable=VARIABLE,
        passing=lambda error: isinstance(error, ConnectionError),
        cause=str,
        failure=failure,
        first=1.0,
        longest=10.0,
    )


def failing(*errors: Exception):
    """A call that raises these, one after the other, and then returns "taken"."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "taken"

    return call


def test_pauses_double_up_to_the_longest():
    assert list(itertools.islice(backoff(0.2, 1.0), 5)) == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_an_outage_is_waited_out_and_logged_once(clock, caplog):
    call = made()(failing(*[ConnectionError("away")] * 4))
    with caplog.at_level(logging.WARNING):
        assert call() == "taken"
    assert clock.pauses == [1, 2, 4, 8]
    assert [record.message for record in caplog.records] == [
        f"the service takes nothing at present (away): waiting 120 s at most for it ({VARIABLE})",
        "the service takes everything again after 15 s",
    ]


def test_no_call_is_made_after_the_deadline(clock, monkeypatch):
    monkeypatch.setenv(VARIABLE, "6")
    with pytest.raises(ConnectionError, match="away"):
        made()(failing(*[ConnectionError("away")] * 9))()
    assert clock.pauses == [1, 2]  # the third would have ended one second late


def test_what_waiting_does_not_mend_is_raised_at_once(clock, caplog):
    with pytest.raises(KeyError, match="refused"):
        made()(failing(KeyError("refused")))()
    assert not clock.pauses and not caplog.records


def test_a_failure_is_told_without_the_error_that_may_hold_a_password(clock, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0")
    call = made(lambda error: ValueError("start it"))(failing(ConnectionError("user:secret@host")))
    with pytest.raises(ValueError, match="start it") as told:
        call()
    assert told.value.__suppress_context__
