"""Weight files: whole or not at all, equal bytes for equal weights, and a clear word on any
other file.
"""

import copy
import os
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.core import checkpoint
from engine.core.network import load_network, network, save_network
from tests.support.networks import TINY

SECTIONS = {
    "backbone": TINY,
    "objective": {"name": "hashtags"},
    "head": {"name": "linear"},
}


@pytest.fixture
def file(tmp_path):
    """A weight file that is whole."""
    path = tmp_path / "weights.safetensors"
    checkpoint.save_tensors(path, {"a": torch.arange(6.0).view(2, 3)}, {"names": ["x", "é"]})
    return path


def test_round_trip(file):
    tensors, about = checkpoint.load_tensors(file)
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3)) and about == {
        "names": ["x", "é"]
    }
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_equal_weights_are_equal_bytes(tmp_path):
    a, b = torch.randn(4, 3, 3, 3), torch.randn(5, dtype=torch.float64)
    checkpoint.save_tensors(tmp_path / "1", {"a": a, "b": b}, {"x": 1, "y": {"p": 2, "q": [3]}})
    strided = nn.Parameter(a.clone().contiguous(memory_format=torch.channels_last))
    checkpoint.save_tensors(
        tmp_path / "folder" / "2", {"b": b.clone(), "a": strided}, {"y": {"q": [3], "p": 2}, "x": 1}
    )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "folder" / "2").read_bytes()


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace")])
def test_crash_while_saving_leaves_the_old_file_whole(file, monkeypatch, owner, name):
    before = file.read_bytes()

    def crash(*arguments):
        os.truncate(file.with_suffix(".partial"), 20)
        raise OSError("power cut")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="power cut"):
        patch.setattr(owner, name, crash)
        checkpoint.save_tensors(file, {"a": torch.zeros(2, 3)}, {})
    assert file.read_bytes() == before
    checkpoint.save_tensors(
        file, {"a": torch.zeros(2, 3)}, {}
    )  # what the crash left is in nobody's way
    assert not checkpoint.load_tensors(file)[0]["a"].any()


def test_full_disk_is_an_error_of_the_system(file):
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoint.save_tensors(file, {"a": torch.zeros(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before


def _foreign(path):
    save_file({"a": torch.zeros(2)}, path)


def _flipped(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def _pickled(path):
    torch.save({"a": torch.zeros(2)}, path)


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda path, n=n: path.write_bytes(path.read_bytes()[:n]) for n in (0, 4, 30, -30, -1)),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes(bytes(range(256)) * 4),
        _foreign,
        _pickled,
        lambda path: _flipped(path, -1),
        lambda path: _flipped(path, path.read_bytes().index(b"names") + 9),
    ],
    ids=[
        "empty",
        "4 bytes",
        "30 bytes",
        "30 short",
        "1 short",
        "too long",
        "random",
        "no metadata",
        "pickle",
        "a bit of a weight",
        "a bit of the metadata",
    ],
)
def test_any_other_file_is_refused_with_a_fix(file, damage):
    damage(file)
    with pytest.raises(
        ValueError, match=r"weights\.safetensors is not a weight file.*delete it and run the stage"
    ):
        checkpoint.load_tensors(file)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        checkpoint.load_tensors(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda weights: weights.pop("bias"), r"1 keys \(bias\)"),
        (lambda weights: weights.update(extra=torch.zeros(1)), r"1 keys \(extra\)"),
        (lambda weights: weights.update(weight=torch.zeros(3, 3)), r"1 keys \(weight\)"),
        (
            lambda weights: [weights.pop("bias"), weights.update(w=torch.zeros(1))],
            r"2 keys \(bias, w\)",
        ),
    ],
)
def test_every_key_must_match(change, named):
    module = nn.Linear(2, 3)
    before, weights = (
        copy.deepcopy(module.state_dict()),
        {k: v + 1 for k, v in module.state_dict().items()},
    )
    change(weights)
    with pytest.raises(ValueError, match=named + ": build it from the section"):
        checkpoint.load_weights(module, weights)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_only_what_is_below_the_prefix_is_loaded():
    module = nn.Linear(2, 3)
    weights = {
        "backbone.weight": torch.ones(3, 2),
        "backbone.bias": torch.ones(3),
        "head.bias": torch.zeros(1),
    }
    checkpoint.load_weights(module, weights, "backbone.")
    assert torch.equal(module.weight, torch.ones(3, 2))


def test_network_is_rebuilt_from_its_file_alone(tmp_path):
    torch.manual_seed(1)
    module = network(**SECTIONS, classes=3)
    save_network(
        tmp_path / "model.safetensors",
        module,
        SECTIONS,
        ["sea", "sky", "tree"],
        record={"top1": 50.0},
    )
    again, names = load_network(tmp_path / "model.safetensors")
    assert names == ["sea", "sky", "tree"]
    assert checkpoint.load_tensors(tmp_path / "model.safetensors")[1]["record"] == {"top1": 50.0}
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.equal(module.eval().logits(inputs), again.eval().logits(inputs))
