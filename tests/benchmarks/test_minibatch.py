"""The minibatch study: what is searched apart from what is tested, testing that leaves training
alone, its table.
"""

from pathlib import Path

import pytest
import torch

from benchmarks import minibatch, minibatch_report
from benchmarks.minibatch import CONDITIONS, RATES, Pictures, Sizes
from benchmarks.packs import CIFAR
from tests.conftest import PACKS

SMALL = Sizes(images=128, held=32, epochs=3, tested=1, seeds=2)


@pytest.mark.skipif(not (PACKS / CIFAR).exists(), reason="the pack of photographs is not here")
def test_the_rate_is_chosen_on_photographs_that_are_neither_trained_on_nor_tested(monkeypatch):
    every = list(minibatch.photographs(PACKS, CIFAR))[::150]
    monkeypatch.setattr(minibatch, "photographs", lambda *_: every)
    parts = minibatch.pictures(PACKS, SMALL)
    seen = {}
    for name, part in parts.items():
        seen[name] = {row.numpy().tobytes() for row in part.pixels}
    assert [len(parts[name]) for name in ("train", "held")] == [SMALL.images, SMALL.held]
    assert not seen["train"] & seen["held"] and not (seen["train"] | seen["held"]) & seen["test"]
    assert all(part.classes.unique().numel() == 10 for part in (parts["train"], parts["test"]))


def test_a_run_is_the_same_however_often_it_is_tested():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (128, 32, 32, 3), dtype=torch.uint8, generator=generator)
    parts = dict.fromkeys(("train", "test"), Pictures(pixels, torch.arange(128) % 10))
    one = {"recipe": minibatch.RECIPE | {"batch": 64, "rate": 0.1}, "seed": 0, "on": "test"}
    once, often = (
        minibatch.run(parts, SMALL._replace(tested=n), one, lambda *_: None) for n in (1, 3)
    )
    assert once["losses"] == often["losses"] and len(once["losses"]) == 3
    assert len(often["errors"]) == 3 and once["errors"] == often["errors"][2:]
    assert often["error"] == sorted(often["errors"])[1]


def test_every_condition_scales_the_rate_that_the_search_found_best(tmp_path, monkeypatch):
    def faked(parts, sizes, one, show):
        return {
            "losses": [2.0] * 3,
            "errors": [50.0],
            "error": abs(one["recipe"]["rate"] - RATES[1]),
        }

    monkeypatch.setattr(minibatch, "pictures", lambda *_: {"test": None})
    monkeypatch.setattr(minibatch, "run", faked)
    searched, rows = minibatch.study(Path(), tmp_path, SMALL)
    assert {row["on"] for row in searched} == {"held"} and {row["on"] for row in rows} == {"test"}
    assert not {row["seed"] for row in searched} & {row["seed"] for row in rows}
    assert [row["name"] for row in rows] == [*CONDITIONS] * SMALL.seeds
    assert {row["recipe"]["rate"] for row in rows} == {RATES[1]}


def test_the_table_pairs_seeds_and_the_figure_is_drawn(tmp_path):
    found = dict.fromkeys(CONDITIONS, (40.0, 42.0, 44.0)) | {"1024, no warm-up": (41.0, 43.1, 45.2)}
    rows = [
        {
            "name": name,
            "recipe": minibatch.RECIPE | CONDITIONS[name] | {"rate": 0.1},
            "error": error,
            "losses": [2.0, 1.5, 1.0],
            "minutes": 1.0,
        }
        for name, errors in found.items()
        for error in errors
    ]
    minibatch_report.write(rows[:1], rows, SMALL._asdict(), "make repro RECIPE=minibatch", tmp_path)
    lines = (tmp_path / "minibatch.md").read_text().splitlines()
    assert "| 64 | 0.1 | 42.0 ± 2.0 |  | 2.00 ± 0.00 | 1.50 ± 0.00 | 1.00 ± 0.00 |" in lines
    assert "| no warm-up errs more than a gradual one (1.1 points) | +1.1 ± 0.2 | shows |" in lines
    assert "| square-root scaling errs more than linear | +0.0 ± 0.0 | does not show |" in lines
    assert (tmp_path / "minibatch.png").stat().st_size > 10_000
