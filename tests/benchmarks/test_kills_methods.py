"""The table of killed pretrainings, and what makes one of them differ."""

import torch

from benchmarks.kills_methods import LEFT, Method, hashes, step_of, table
from engine.core import checkpoint


def test_a_training_that_ends_otherwise_is_told():
    good = Method("moco", 3.25, ["1.0 s, start-up", "2.0 s, step 7"], exact=2)
    bad = Method("dino", 4.0, ["1.0 s, step 3"], faults=[f"1.0 s, step 3: {LEFT} differs"])
    lines = table([good, bad], "python").splitlines()
    assert "| moco | 2 | 2 of 2 | 3.2 | 1.0 s, start-up; 2.0 s, step 7 |" in lines
    assert any("| dino | 1 | 0 of 1 |" in line and f"{LEFT} differs" in line for line in lines)


def test_what_is_compared_is_the_whole_state(tmp_path):
    found = []
    for number, queue in enumerate((0.0, 0.0, 1.0)):
        folder = tmp_path / str(number)
        assert step_of(folder) is None
        tensors = {"module.queue.vectors": torch.full((2,), queue)}
        about = {"iteration": 8, "finished": True}
        checkpoint.save_tensors(folder / "state" / "000000008.safetensors", tensors, about)
        checkpoint.save_tensors(folder / LEFT, {"head.weight": torch.zeros(1)}, {})
        assert step_of(folder) == 8
        found.append(hashes(folder))
    assert found[0] == found[1] != found[2] and found[0][LEFT] == found[2][LEFT]
