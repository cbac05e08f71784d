"""How long networks run, side by side."""

import math
import time

import pytest
import torch
from torch import nn

from engine.measure.timing import runtimes

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.serial]


def test_runtimes_are_medians_of_turns_and_nan_where_memory_runs_out():
    class Sleeps(nn.Module):
        def __init__(self, milliseconds: float) -> None:
            super().__init__()
            self.seconds = milliseconds / 1e3

        def forward(self, x):
            torch.empty(0 if self.seconds else 2**55, dtype=torch.int8)
            time.sleep(self.seconds)

    found = runtimes(
        [(Sleeps(5), 8), (Sleeps(0), 8), (Sleeps(20), 8)],
        torch.device("cpu"),
        1,
        rounds=2,
        seconds=0.02,
    )
    assert 0.005 <= found[0] < 0.02 <= found[2] < 0.1 and math.isnan(found[1])
