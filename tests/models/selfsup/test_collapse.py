"""A method that has lost its safeguard collapses, and the monitor says so; with it, neither.

All methods, longer and with several seeds: benchmarks/collapse.py.
"""

import pytest

from benchmarks.collapse import (
    PLAIN,
    SWAVS,
    Case,
    Drawn,
    WithoutNegatives,
    WithoutPartition,
    run,
)
from flows.training.monitoring import collapsed
from models.objectives.simclr import SimCLR
from models.objectives.swav import SwAV

STEPS = 20
SAFE = {
    "simclr": Case("simclr", "", SimCLR, PLAIN, 0.01),
    "swav": Case("swav", "", SwAV, SWAVS, 0.001),
}
UNSAFE = {
    "simclr": Case("simclr", "negatives", WithoutNegatives, PLAIN, 0.01),
    "swav": Case("swav", "equal partition", WithoutPartition, SWAVS, 0.001),
}


@pytest.fixture(scope="module")
def scenes() -> tuple[Drawn, Drawn]:
    """Images to learn from and others to measure on."""
    return Drawn(320, 0), Drawn(100, 1)


@pytest.mark.parametrize("method", SAFE)
def test_a_collapse_is_told_where_the_safeguard_is_gone(method, scenes, one_thread):
    well, fallen = (run(case[method], 0, STEPS, *scenes) for case in (SAFE, UNSAFE))
    assert not collapsed(well), well
    assert collapsed(fallen), fallen
