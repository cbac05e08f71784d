"""The report of a search: what it says is so, whatever became of the trials; any text is text.

Same bytes twice.
"""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from flows.reports.search import plots
from flows.reports.search.page import write_page
from flows.searching.trials import Trials
from tests.support.searches import search

ABOUT = {
    "space": {"name": "regnetx", "flops": [3e6, 5e6]},
    "sampler": "random",
    "budget": "40 trials",
    "seed": 0,
}
ABOUT["origin"] = {"commit": "<i>e78ad06</i>"}
AGAIN = [
    {"trial": trial, "seed": seed, "error": 40 + trial / 10 + seed}
    for trial in (9, 3)
    for seed in range(3)
]


class Text(HTMLParser):
    """The words of each section, by its heading; whatever the page loads or runs is an error."""

    def __init__(self, page: str):
        super().__init__()
        self.sections, self.tag, self.titles = {"": ""}, "", [""]
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "i") and not [
            name for name, _ in attrs if name.startswith("on")
        ]
        assert all(
            value.startswith(("data:", "#")) for name, value in attrs if name in ("src", "href")
        )
        self.tag = tag

    def handle_data(self, data):
        if self.tag == "h2" and data.strip():
            self.titles.append(data)
        self.sections[self.titles[-1]] = self.sections.get(self.titles[-1], "") + data + " "


def told(out: Path, rows: list, again: list = AGAIN) -> dict[str, str]:
    out.mkdir(exist_ok=True)
    write_page(out, rows, again, ABOUT)
    return Text((out / "report.html").read_text()).sections


def test_report_tells_what_was_found(tmp_path):
    rows = search()
    found = told(tmp_path, rows)
    best = min((row for row in rows[1:] if row["error"]), key=lambda row: row["error"])
    assert (
        "regnetx" in found["What was searched"] and "<i>e78ad06</i>" in found["What was searched"]
    )
    assert re.search(r"complete\s+35\s+88%.*out of memory\s+1\s+2%", found["Outcomes"])
    assert (
        "35 of 40 networks" in found["Outcomes"]
        and "Pruned trials were the worse" in found["Outcomes"]
    )
    assert (
        f"best (trial {best['trial']})" in found["Best network"]
        and "41.00 %" in found["Best network"]
    )
    assert "Left out: 2 pruned, 2 diverged, 1 out of memory." in found["Distribution of errors"]
    listed = found["All trials"]
    assert "<b>CUDA</b> out of memory & 2 retries" in listed and listed.count("complete") == 35
    assert (
        listed.index(f"{best['error']:.2f} %")
        < listed.index("diverged")
        < listed.index("out of memory")
    )
    for name in ("edf", "costs", "axes", "curves", "best_of_k"):
        assert min(Image.open(tmp_path / f"{name}.png").size) > 200


def test_axes_table_names_the_axis_that_matters(tmp_path):
    cells = re.findall(
        r"depth 4 to 19 (\d+) (\d+) to (\d+)", told(tmp_path, search())["Axes of the space"]
    )
    median, low, high = map(int, cells[0])
    assert 10 <= low <= median <= high <= 14


def test_of_few_networks_no_rank_correlation_is_told(tmp_path):
    found = told(tmp_path / "few", search(8)[:8])  # 7 drawn, 6 of them complete
    axes = found["Axes of the space"]
    assert "withheld" in axes and "rank correlation with error" not in axes and "drawn" in axes
    assert "6 of 7 networks, fewer than 8" in found["Before you believe it"]
    many = told(tmp_path / "many", search(10))  # 9 complete
    assert "rank correlation with error" in many["Axes of the space"]
    assert "withheld" not in many["Axes of the space"] and "Before you believe it" not in many


def test_a_reference_that_is_better_than_the_winner_is_told(tmp_path):
    rows = search(16)
    rows[0] = rows[0] | {"error": 12.0}
    best = min(row["error"] for row in rows[1:] if row["error"])
    warned = told(tmp_path / "ahead", rows)["Before you believe it"]
    assert (
        f"The reference errs less (12.00 %) than the best network that was drawn ({best:.2f} %)"
        in warned
    )
    assert "Before you believe it" not in told(tmp_path / "behind", search(16))


def test_networks_trained_again_have_mean_and_spread(tmp_path):
    rows = [*AGAIN, {"trial": 5, "seed": 0, "error": 39.0}, {"trial": 5, "seed": 1, "error": None}]
    found = " ".join(told(tmp_path, search(), rows)["Trained again"].split())
    # means 41.3, 41.9 with standard deviation 1 of three; the one of a single seed is not the best
    # by that alone
    assert re.search(
        r"5 \S+ % 39.00 \(one seed\) 1 of 2 3 .* 41.30 ± 1.00 3 of 3 9 .* 41.90 ± 1.00 3 of 3",
        found,
    )


def test_same_trials_same_bytes(tmp_path):
    for out in ("a", "b"):
        told(tmp_path / out, search())
    assert [p.name for p in sorted(tmp_path.glob("a/*"))] == [
        p.name for p in sorted(tmp_path.glob("b/*"))
    ]
    assert all(
        path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        for path in tmp_path.glob("a/*")
    )


def ruined() -> list:
    return [
        row | {"outcome": "diverged", "error": math.nan, "curve": [[1, math.nan]]}
        for row in search(5)
    ]


def bare() -> list:
    return [
        {"trial": 0, "outcome": "complete", "error": 3.0},
        {"trial": 1, "outcome": "duplicate", "error": None},
    ]


@pytest.mark.parametrize(
    "rows, complete, figures",
    [
        (search(1), "1 of 1 networks", {"edf", "costs", "curves"}),
        (search(2)[1:], "2 of 2 networks", {"edf", "costs", "axes", "curves", "best_of_k"}),
        (ruined(), "0 of 5 networks", {"edf"}),
        (bare(), "1 of 2 networks", {"edf"}),
        (search(1)[:1], "0 of 0 networks", {"edf", "curves"}),
    ],
    ids=["one trial", "no reference", "all failed", "no more than an error", "no trial"],
)
def test_report_of_little(tmp_path, rows, complete, figures):
    assert complete in told(tmp_path, rows, [])["Outcomes"]
    assert {path.stem for path in tmp_path.glob("*.png")} == figures


def test_latency_is_a_cost_where_it_was_measured(tmp_path):
    rows = [row | {"latency_ms": 3 + i % 5} for i, row in enumerate(search(12))]
    assert "latency (ms)" in told(tmp_path, rows)["All trials"]
    assert len(plots.costs(Trials(rows))[0].axes) == 4
    del rows[1]["latency_ms"]
    assert len(plots.costs(Trials(rows))[0].axes) == 3


def test_error_of_a_pruned_network_does_not_count():
    trials = Trials([*search(3), search(1)[1] | {"outcome": "pruned", "error": 1.0}])
    assert (
        trials.of("error").min() > 20
        and trials.count() == "3 of 4 networks"
        and trials.reasons() == "1 pruned"
    )


def test_axes_are_the_numbers_that_all_networks_have():
    rows = search(3)
    for row, rule in zip(rows[1:], ("a", "b", "c"), strict=True):
        row["values"] |= {"rule": rule, "se": True}
    rows[1]["values"]["extra"] = 3
    assert list(Trials(rows).axes) == ["depth", "w_0", "w_m"]
