"""Batches: columns of tensors and of lists, cut, joined and moved; their names are known."""

import itertools

import pytest
import torch

from engine.core.batch import COLUMNS, KNOWN, each, joined, length, moved, rows
from engine.core.build import choices, plugin
from metrics.blocks.metric import Reads
from models.blocks.methods.method import Method
from models.blocks.methods.multiview import MultiView
from models.blocks.methods.scenes import Scenes


def batch() -> dict:
    """Five samples, of which one column differs in size from row to row."""
    boxes = [torch.full((n, 4), float(n)) for n in (2, 0, 1, 3, 1)]
    return {"image": torch.arange(40).view(5, 8), "boxes": boxes}


def assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        assert type(found[name]) is type(column) and len(found[name]) == len(column)
        assert all(map(torch.equal, found[name], column))


@pytest.mark.parametrize("cuts", [(0, 5), (0, 2, 5), (0, 1, 1, 4, 5)])
def test_parts_that_are_joined_are_the_whole(cuts):
    parts = [rows(batch(), slice(*ends)) for ends in itertools.pairwise(cuts)]
    assert [length(part) for part in parts] == [b - a for a, b in itertools.pairwise(cuts)]
    assert_equal(joined(parts), batch())
    assert joined([]) == {}


def test_all_tensors_are_told_and_moved():
    assert len(each(batch())) == 6
    there = moved(batch(), torch.device("meta"))
    assert [tensor.shape for tensor in each(there)] == [tensor.shape for tensor in each(batch())]
    assert all(tensor.is_meta for tensor in each(there))
    assert_equal(moved(batch(), torch.device("cpu")), batch())


def names_of(reads: Reads) -> list[str]:
    """All columns that a metric names."""
    parts = [*reads.predictions, *reads.targets, reads.more]
    return [name for part in parts for name in ([part] if isinstance(part, str) else part)]


@pytest.mark.parametrize("name", choices("metrics"))
def test_metrics_read_columns_that_are_known(name):
    named = names_of(plugin("metrics", name, "metric").reads)
    assert {each.removesuffix(KNOWN) for each in named} <= COLUMNS.keys()


@pytest.mark.parametrize("name", choices("objectives"))
def test_objectives_read_columns_that_are_known(name):
    objective = plugin("objectives", name, "objective")
    assert issubclass(objective, Method)
    named = {*objective.columns(), *objective.inputs, objective.target}
    assert {each.removesuffix(KNOWN) for each in named} <= COLUMNS.keys()
    # several views, and those of scenes, have columns of their own, made of those of the data
    if not issubclass(objective, MultiView | Scenes):
        assert set(objective.inputs) <= objective.columns().keys()


def test_no_column_is_called_as_what_says_whether_it_is_known():
    assert not [name for name in COLUMNS if name.endswith(KNOWN)]
