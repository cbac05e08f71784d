"""States on disk: the newest that is whole, the last few only, written beside the training."""

import logging
import threading

import pytest
import torch

from engine.core import checkpoint
from engine.training import checkpoints
from engine.training.checkpoints import Checkpoints
from engine.training.loop import train
from engine.training.schedule import Training
from tests.engine.training.toys import RECIPE, Toy, tiny


def state(iteration: int) -> tuple[dict, dict]:
    return {"x": torch.full((3,), float(iteration))}, {"iteration": iteration}


def test_the_last_states_are_kept_and_the_newest_is_taken(tmp_path):
    states = Checkpoints(tmp_path / "deep" / "folder", keep=2)
    assert states.newest() is None
    for iteration in (5, 50, 1000):
        states.save(*state(iteration))
    states.close()
    assert sorted(int(file.stem) for file in states.folder.iterdir()) == [50, 1000]
    assert Checkpoints(states.folder).newest()[1] == {"iteration": 1000}


def test_a_damaged_state_is_told_and_passed_over(tmp_path, caplog):
    states = Checkpoints(tmp_path)
    for iteration in (1, 2):
        states.save(*state(iteration))
    states.close()
    newest = tmp_path / f"{2:09d}.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(tmp_path).newest()[1] == {"iteration": 1}
    assert "checksum" in caplog.text and newest.name in caplog.text
    assert not newest.exists() and newest.with_suffix(".damaged").exists(), (
        "in nobody's way, and not lost"
    )


def test_training_from_a_damaged_state_ends_as_any_other(tmp_path, one_thread, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
        train(tiny(), Toy(), Training(RECIPE, 4, state=tmp_path / "whole"))
        train(tiny(), Toy(), Training(RECIPE, 4, state=tmp_path / "damaged"))
    whole, damaged = (max((tmp_path / name).iterdir()) for name in ("whole", "damaged"))
    damaged.write_bytes(damaged.read_bytes()[:-10])
    train(tiny(), Toy(), Training(RECIPE, 4, state=damaged.parent))
    assert whole.read_bytes() == damaged.read_bytes()


def test_writing_does_not_hold_up_training_and_its_fault_is_told(tmp_path, monkeypatch):
    gate, states = threading.Event(), Checkpoints(tmp_path)

    def slow(*arguments):
        assert gate.wait(10)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.checkpoint, "save_tensors", slow)
    states.save(*state(1))  # returns before the disk does
    assert states.busy()
    gate.set()
    with pytest.raises(OSError, match="No space left"):
        states.close()


def test_a_state_of_another_network_is_refused(tmp_path, one_thread):
    train(tiny(), Toy(), Training(RECIPE, 1, state=tmp_path))
    other = tiny()
    other.head.fc = torch.nn.Linear(other.head.fc.in_features, 4)
    with pytest.raises(
        ValueError,
        match=r"weights do not fit the network in 2 keys \(head.fc.bias, head.fc.weight\)",
    ):
        train(other, Toy(), Training(RECIPE, 1, state=tmp_path))


def test_a_state_says_what_it_is_of(tmp_path, one_thread):
    train(tiny(), Toy(), Training(RECIPE, 1, state=tmp_path, about={"names": ["a", "b", "c"]}))
    _, about = checkpoint.load_tensors(max(tmp_path.iterdir()))
    assert (about["iteration"], about["world"], about["batch"], about["about"]) == (
        3,
        1,
        16,
        {"names": ["a", "b", "c"]},
    )
