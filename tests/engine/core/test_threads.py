"""The number of torch's threads, set for a while and put back."""

import subprocess
from pathlib import Path

import pytest
import torch

from engine.core.threads import torch_threads

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("number", "inside"), [(3, 3), (None, 1)])
def test_they_are_put_back_after_an_error_too(one_thread, number, inside):
    with pytest.raises(KeyError), torch_threads(number):
        assert torch.get_num_threads() == inside
        raise KeyError
    assert torch.get_num_threads() == 1


def test_nobody_puts_them_back_by_hand():
    """Whoever sets them for a while does so here.

    The others set them once, for a process of their own.
    """
    found = subprocess.run(
        ["grep", "-rlE", r"torch\.get_num_threads\(\)", "--include=*.py", "flows", "engine"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # splitting divides what there is among workers, profile tells it
    allowed = {
        "engine/core/threads.py",
        "engine/training/splitting.py",
        "engine/measure/profile.py",
    }
    assert set(found.stdout.split()) == allowed
