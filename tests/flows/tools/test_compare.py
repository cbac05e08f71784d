"""Searches side by side: differences and agreement as they are, and every wrong call told apart."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from engine.measure.enough import LEAST
from flows.tools import compare, comparison
from tests.support.searches import leave, search


def compared(
    tmp_path: Path, capsys: pytest.CaptureFixture, *searches: list, names: str = ""
) -> str:
    folders = [str(leave(tmp_path / f"s{i}", rows)) for i, rows in enumerate(searches)]
    compare.main(
        [
            *folders,
            "--out",
            str(tmp_path / "new" / "c.html"),
            *(["--names", names] if names else []),
        ]
    )
    return capsys.readouterr().out


def complete(rows: list) -> list:
    return [row for row in rows[1:] if row["error"]]


def test_better_space_is_seen(tmp_path, capsys):
    a, b, c = search(60), search(60, seed=1, gain=3), search(60, seed=2)
    told = compared(tmp_path, capsys, a, b, c, names="A,<b>,$C")
    left = [row["error"] for row in complete(a)]
    right = [row["error"] for row in complete(b)]
    line = next(line for line in told.splitlines() if re.match(r"A +<b>", line)).split()
    assert (
        float(line[2]) == pytest.approx(np.mean(right) - np.mean(left), abs=0.01) and "52" in told
    )
    expected = stats.ks_2samp(left, right)
    assert float(line[6]) == pytest.approx(expected.statistic, abs=1e-3)
    assert (
        2 * expected.pvalue <= float(line[7]) * 1.06 <= 4 * expected.pvalue
    )  # Holm, of three pairs
    other = next(line for line in told.splitlines() if re.match(r"A +\$C", line)).split()
    assert float(line[9]) < 0.01 < 0.05 < float(other[9])
    page = (tmp_path / "new" / "c.html").read_text()
    assert "&lt;b&gt;" in page and "<script" not in page and (tmp_path / "new" / "c.png").exists()


def test_proxies_of_the_same_networks_are_correlated(tmp_path, capsys):
    rows, rng = search(50), np.random.default_rng(0)
    proxy = [row | {"error": row["error"] and 20 + row["error"] + rng.normal()} for row in rows]
    proxy = [
        proxy[0],
        *proxy[:0:-1],
        *search(3, seed=9)[1:],
    ]  # in another order, and some that only one has trained
    told = compared(tmp_path, capsys, rows, proxy).split("Networks in common")[1]
    theirs = {row["trial"]: row["error"] for row in complete(proxy)[:-3]}
    mine = {row["trial"]: row["error"] for row in complete(rows)}
    pair = [mine[trial] for trial in mine], [theirs[trial] for trial in mine]
    line = told.splitlines()[2]
    assert line.split()[:3] == ["s0", "s1", str(len(mine))]
    assert (
        f"{stats.spearmanr(*pair).statistic:+.3f}" in line
        and f"{stats.kendalltau(*pair).statistic:+.3f}" in line
    )


def test_of_few_networks_no_rank_correlation_and_no_interval_is_told(tmp_path, capsys):
    rows = search(40)
    few = [rows[0], *complete(rows)[:LEAST]]
    told = compared(tmp_path, capsys, few, few).split("Networks in common")
    assert re.search(r"s0 +s1 +8 +\+1\.000 \(\+1\.000 to", told[1]) and " to +" in told[0]
    told = compared(tmp_path / "fewer", capsys, few[:-1], few[:-1]).split("Networks in common")
    assert re.search(r"s0 +s1 +7 +withheld: fewer than 8 +withheld: fewer than 8", told[1])
    assert re.search(r"s0 +s1 +\+0\.00 +0\.000", told[0])


def test_same_searches_same_bytes(tmp_path, capsys):
    pages = [
        compared(tmp_path / k, capsys, search(9), search(9, 1)) and tmp_path / k / "new"
        for k in "ab"
    ]
    assert all(
        (pages[0] / name).read_bytes() == (pages[1] / name).read_bytes()
        for name in ("c.html", "c.png")
    )


def test_spaces_of_other_complexity_and_single_networks(tmp_path, capsys):
    larger = [row | {"flops": row["flops"] * 10} for row in search(8, seed=1)]
    told = compared(tmp_path, capsys, search(8), larger, search(1, seed=2))
    assert (
        re.search(r"s0 +s1 .* 0$", told, re.M)
        and "nan" not in told
        and "Networks in common" not in told
    )


ONE = [{"trial": 0, "outcome": "complete", "error": 3.0}]
LOST = [
    {"trial": 0, "outcome": "diverged", "error": None},
    {"trial": 1, "outcome": "pruned", "error": None},
]


@pytest.mark.parametrize(
    "arguments, fault",
    [
        (["a"], "1 search to compare: name two"),
        (["a", "gone"], "gone: no such folder"),
        (["a", "empty"], "empty: no finished search"),
        (["a", "a"], "give each its own by --names"),
        (["a", "b", "--names", "x"], "2 searches, but the names x"),
        (["a", "lost"], r"lost: 0 of 2 networks complete \(1 diverged, 1 pruned\)"),
        (["a", "broken"], "line 2: no trial"),
        (["a", "other"], "line 1: no trial"),
        (["a", "one"], "one: not all trials know their flops: choose"),
        (["a", "b", "--by", "latency_ms"], "a: not all trials know their latency_ms"),
    ],
)
def test_faults_are_told_apart(tmp_path, monkeypatch, capsys, arguments, fault):
    monkeypatch.chdir(tmp_path)
    for name, rows in {
        "a": search(5),
        "b": search(5),
        "lost": LOST,
        "one": ONE,
        "other": [{"hashtag": "cat"}],
    }.items():
        leave(Path(name), rows)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/trials.jsonl").write_text(json.dumps(ONE[0]) + '\n{"trial": 1, "outc')
    with pytest.raises(SystemExit) as end:
        compare.main(arguments)
    assert (
        end.value.code == 2
        and re.search(fault, capsys.readouterr().err)
        and not Path("compare.html").exists()
    )


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [str(leave(Path(name) / "search", search(3))) for name in "ab"]
    assert list(comparison.read_searches(folders, None, "flops")) == folders
