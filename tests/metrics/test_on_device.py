"""What lies on a GPU is counted as what lies beside the processor: for every metric."""

import pytest
import torch

from engine.core.batch import moved
from engine.core.build import build, choices
from engine.core.device import device
from tests.metrics.batches import example

NEEDED = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def numbers(name: str, where: torch.device) -> dict[str, float]:
    metric = build("metrics", {"name": name})
    given, true = example(name)
    metric.update(_placed(given, where), _placed(true, where))
    return metric.compute()


def _placed(columns: dict, where: torch.device) -> dict:
    """Tensors there; run lengths and files that are read later are on no device."""
    plain = {name: rows for name, rows in columns.items() if _of_tensors(rows)}
    return columns | moved(plain, where)


def _of_tensors(rows) -> bool:
    if isinstance(rows, torch.Tensor):
        return True
    return isinstance(rows, list) and all(isinstance(row, torch.Tensor) for row in rows)


@pytest.mark.gpu
@NEEDED
@pytest.mark.parametrize("name", choices("metrics"))
def test_numbers_are_those_of_the_cpu(name):
    here = numbers(name, torch.device("cpu"))
    assert numbers(name, device()) == pytest.approx(here, rel=1e-6)
