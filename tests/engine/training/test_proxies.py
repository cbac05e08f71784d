"""The study of proxies: its networks, and its table of trainings that were kept."""

import pytest

from benchmarks import proxies
from benchmarks.proxies import FLOPS, LONG, QUICK, TASKS


def test_networks_differ_and_are_the_same_however_many_are_drawn():
    few, many = proxies.drawn(3), proxies.drawn(6)
    assert few == many[:3] and len({str(section) for section in many}) == 6


def test_a_killed_study_goes_on_and_its_table_is_of_all_runs(tmp_path, monkeypatch):
    trained = []

    def faked(parts, one, show):
        if len(trained) == 7:
            raise KeyboardInterrupt
        trained.append((one["network"], one["task"]))
        return {"accuracy": 10.0 * one["network"] + (one["task"] != LONG) * one["seed"]}

    monkeypatch.setattr(proxies, "pictures", lambda *_: {"train": None})
    monkeypatch.setattr(proxies, "run", faked)
    with pytest.raises(KeyboardInterrupt):
        proxies.study(tmp_path, tmp_path, QUICK)
    trained.append("killed")
    rows = proxies.study(tmp_path, tmp_path, QUICK)
    assert len(trained) - 1 == len(set(trained)) - 1 == len(rows) == 4 * len(TASKS)
    assert len({row["seed"] for row in rows}) == len(rows)
    found = proxies.measured(rows)
    assert (
        found[LONG].tolist() == [0, 10, 20, 30]
        and ((found[FLOPS] >= 1e6) & (found[FLOPS] <= 2e6)).all()
    )
    text = proxies.text(rows, QUICK, "command")
    assert "| rotation | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] | 2.0 to 47.0 |" in text
    proxies.plot(tmp_path / "proxies.png", rows)
