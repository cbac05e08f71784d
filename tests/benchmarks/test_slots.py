"""The study of slots: what it compares costs the same, and differs by the slot."""

import pytest

from benchmarks.slots import AFTER, CHOICES, RESNET, SPACE, blocks, flops, norms, space, table


def test_blocks_and_their_controls_cost_the_same():
    found = {name: backbone for name, backbone, _ in blocks()}
    for name in AFTER:
        slotted, plain = found[name], found[f"without {name}"]
        assert flops(slotted) == pytest.approx(flops(plain), rel=0.03)
        assert "after" in slotted and "after" not in plain
    assert {flops(backbone) for _, backbone, _ in norms()} == {flops(RESNET)}


def test_networks_of_the_space_have_their_slot_alone_and_cost_the_same():
    names = [name for choices in CHOICES.values() for name in choices]
    for name, backbone, _ in space(0, 2):
        kind, number = name.split(" #")
        own = backbone.keys() & {"norm", "spatial", "after"}
        assert len(own) == (kind in names) and number in "01"
        assert SPACE["flops"][0] <= flops(backbone) <= SPACE["flops"][1]


def test_differences_are_paired_by_seed():
    rows = [
        {"name": name, "seed": seed, "error": error + 10 * seed, "losses": [2.0], "flops": 1e6}
        for seed in range(3)
        for name, error in (("no slot #0", 50), ("no slot #1", 54), ("gnConv #0", 49 + seed / 10))
    ]
    *_, last = table(rows, {"gnConv": "no slot"})
    assert "| gnConv | 1.00 | 59.1" in last and "| +2.9 ± 0.2 (no slot): shows |" in last
