"""Runtime against complexity: correlations by hand, those of the authors' own timings, what is
measured.
"""

import pytest

from benchmarks import runtime
from benchmarks.runtime import FAMILIES, Timing, authors, correlations, networks, table


def timings(*pairs: tuple[int, float], family: str = "A") -> list[Timing]:
    return [Timing(family, {"flops": x, "params": x, "acts": x}, y) for x, y in pairs]


def test_correlations_are_linear_logarithmic_and_of_ranks():
    assert correlations(timings((1, 3), (2, 5), (3, 7)), "flops") == pytest.approx(
        (1, 0.9995, 1), abs=1e-4
    )
    assert correlations(timings((1, 1), (10, 100), (100, 10_000)), "acts") == pytest.approx(
        (0.9973, 1, 1), abs=1e-4
    )
    assert correlations(timings((1, 9), (2, 4), (3, 1)), "params")[2] == -1


def test_the_table_is_over_all_families_and_within_each():
    """Two families that run at unlike speed: within each complexity tells all, over both it does
    not.
    """
    slow, fast = timings((1, 10), (2, 20), (4, 40)), timings((1, 1), (2, 2), (4, 4), family="B")
    rows = [line.split(" | ") for line in table([*slow, *fast])][2:]
    assert [(row[0], row[1]) for row in rows] == [("| all", "6"), ("| A", "3"), ("| B", "3")]
    assert rows[1][2] == rows[2][2] == "1.00 / 1.00 / 1.00"
    assert float(rows[0][2].split(" / ")[0]) < 0.6


def test_correlations_of_the_authors_timings(pack):
    """Activations tell most; the values are those of 36 networks of pycls's tables."""
    folder = pack("model_tables")
    found = authors(
        {path.name: path.read_bytes() for path in folder.glob("pycls_*/**/*") if path.is_file()}
    )
    assert len(found) == 36 and {timing.family for timing in found} >= {
        "RegNetX",
        "RegNetY",
        *FAMILIES.values(),
    }
    small = next(timing for timing in found if timing.cost["params"] == 2_684_792)
    assert (
        round(small.taken) == 11
    )  # RegNetX-200MF in the authors' MODEL_ZOO.md: milliseconds of 64 images
    expected = {"acts": (0.89, 0.97), "flops": (0.81, 0.94), "params": (0.76, 0.92)}
    for key, rounded in expected.items():
        assert tuple(round(value, 2) for value in correlations(found, key)[:2]) == rounded


def test_networks_are_of_every_family_and_declared_ones_within_the_limit():
    found = networks(32, 5e6)
    assert {family for family, _ in found} == {"RegNetX", "RegNetY", *FAMILIES.values()}
    assert {one.rule for family, one in found if family in runtime.BASES} == {
        "",
        "d",
        "w",
        "r",
        "d1_w8_g8_r1",
    }
    flops = [one.cost["flops"] for _, one in found if one.section["name"] == "regnet"]
    assert (
        len(flops) == 2 and min(flops) > 0 and max(flops) <= 5e6
    )  # RegNetX-200MF and RegNetY-200MF
