"""The study of spans in time: what its table says, and that a pretraining of it runs."""

import argparse

import pytest
import torch

from benchmarks import video_rho
from benchmarks.video_rho import (
    Films,
    Row,
    against_one,
    cases,
    measured,
    page,
    passes,
    table,
    trained,
)


def test_the_table_has_means_deviations_and_gains():
    found = {"byol, rho 1": [Row(10, 9, 8, 2, 1), Row(14, 9, 8, 2, 1)]}
    found["byol, rho 4"] = [Row(15, 9, 8, 2, 2), Row(13, 9, 8, 2, 2)]
    rows = cases(3)
    lines = table(rows, found)
    assert lines[2].startswith("| byol, rho 1 | 1 + 2 | 12.0 ± 2.8 | 9.0 ± 0.0 |")
    assert lines[3].startswith("| byol, rho 4 | 1 + 4 | 14.0 ± 1.4 |")
    (gain,) = against_one(found)
    assert gain.endswith("+2.0 points of the probe of motions, above it in 1 of 2 seeds")
    given = argparse.Namespace(seeds=2, epochs=3.0, videos=96)
    text = page(given, 1.0, lines)
    assert "9 steps of 32 of 96 drawn videos" in text and lines[3] in text


def test_rows_are_all_spans_of_both_methods_between_new_weights_and_supervision():
    rows = cases(3)
    titles = list(rows)
    assert titles[0] == "new weights" and titles[-1] == "supervised" and len(titles) == 10
    assert rows["new weights"][1] == 0 and passes(rows["supervised"][0]) == "1 + 0"
    assert passes(rows["moco, rho 4"][0]) == "1 + 3" and passes(rows["moco, rho 1"][0]) == "1 + 1"


@pytest.mark.parametrize("title", ["moco, rho 4", "supervised"])
def test_a_row_is_measured(title, one_thread, monkeypatch):
    monkeypatch.setattr(video_rho, "RECIPE", video_rho.RECIPE | {"batch": 10, "per": 10})
    posts, test = Films(20, 0), Films(20, 2)
    objective, epochs = cases(1)[title]
    module = trained(objective, posts, epochs, 0)
    row = measured(module, posts, test, 0.5)
    assert torch.tensor(row).isfinite().all() and 0 <= row.probe <= 100 and row.minutes == 0.5
