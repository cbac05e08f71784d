"""Ctrl-C and SIGTERM: the step ends, its state is kept, and the same command goes on from there."""

import os
import signal
import threading

import pytest

from engine.core import checkpoint
from engine.training.loop import train
from engine.training.schedule import Training
from engine.training.stopping import Stopped, stop_signals
from tests.engine.training.toys import RECIPE, Toy, tiny


def stopped_at(step: int, number: int):
    def progress(done: int, total: int, text: str) -> None:
        if done == step:
            os.kill(os.getpid(), number)

    return progress


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_state_of_its_step_and_training_ends_the_same(
    tmp_path, one_thread, number
):
    before = signal.getsignal(number)
    with pytest.raises(
        Stopped, match=f"stopped by {signal.Signals(number).name} after step 5 of 12.*goes on"
    ) as error:
        train(
            tiny(),
            Toy(),
            Training(RECIPE, 4, state=tmp_path / "cut", progress=stopped_at(5, number)),
        )
    assert error.value.signal == number and signal.getsignal(number) is before
    assert checkpoint.load_tensors(max((tmp_path / "cut").iterdir()))[1]["iteration"] == 5
    for name in ("cut", "whole"):
        train(tiny(), Toy(), Training(RECIPE, 4, state=tmp_path / name))
    cut, whole = (max((tmp_path / name).iterdir()).read_bytes() for name in ("cut", "whole"))
    assert cut == whole


def test_without_a_state_it_says_that_nothing_is_kept(one_thread):
    with pytest.raises(Stopped, match="nothing of it is kept"):
        train(tiny(), Toy(), Training(RECIPE, 4, progress=stopped_at(2, signal.SIGTERM)))


def test_a_second_signal_does_not_wait_unless_it_is_the_echo_of_the_first(monkeypatch):
    with pytest.raises(Stopped, match="before the state was kept"), stop_signals() as flag:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # as the parent of several workers sends it on
        assert flag.number == signal.SIGINT
        flag.since -= 3
        signal.raise_signal(signal.SIGINT)


def test_other_threads_train_without_handlers(one_thread):
    faults = []

    def work() -> None:
        try:
            train(tiny(), Toy(), Training(RECIPE, 1))
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not faults
