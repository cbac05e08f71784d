"""The command that scales a found network: its table, the section it writes, and what it says of
bad input.
"""

import math
import re

import pytest
import yaml

from engine.core.build import build, with_defaults
from engine.measure.timing import runtimes
from flows.tools import scale, scaling

TINY = {
    "name": "regnet",
    "depth": 3,
    "w_0": 16,
    "w_a": 16.0,
    "w_m": 2.0,
    "group_width": 8,
    "stem_width": 8,
}


def command(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """Exit code, and what was printed on both streams."""
    monkeypatch.setattr("sys.argv", ["scale", *map(str, arguments)])
    code = 0
    try:
        scale.main()
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.fixture
def winner(tmp_path):
    (tmp_path / "winner.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path / "winner.yaml"


@pytest.fixture(autouse=True)
def brief(monkeypatch, one_thread):
    """Measuring takes no longer than it must."""
    monkeypatch.setattr(scaling, "runtimes", lambda *args: runtimes(*args[:3], rounds=1, seconds=0))


def test_the_table_holds_every_rule_and_the_file_the_chosen_one(winner, monkeypatch, capsys):
    out = winner.with_name("scaled.yaml")
    options = (
        "--factor",
        2,
        "--rule",
        "d1_w2_g2_r0",
        "--resolution",
        32,
        "--batch",
        2,
        "--out",
        out,
    )
    code, printed = command(monkeypatch, capsys, winner, *options)
    assert code == 0
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")][2:]
    names = ["as it is", *(f"{rule} x 2" for rule in (*scaling.RULES, "d1_w2_g2_r0"))]
    assert [cells[0].removeprefix("| ") for cells in rows] == names
    section, pixels = scaling.scaled(scaling.read_backbone(winner), 32, 2, "d1_w2_g2_r0")
    assert yaml.safe_load(out.read_text()) == section and section["name"] == "anynet"
    assert out.read_text().startswith(
        f"# {winner} times 2 by d1_w2_g2_r0, for images of {pixels} pixels"
    )
    costs = scaling.scaled_version(scaling.read_backbone(winner), 32, 2, "d1_w2_g2_r0").cost
    assert rows[-1][5:8] == [
        f"{costs['params'] / 1e6:.2f}",
        f"{costs['flops'] / 1e6:.1f}",
        f"{costs['acts'] / 1e6:.2f}",
    ]
    assert all(float(cell.strip(" |")) > 0 for cells in rows for cell in cells[-1:])
    assert "cpu wall clock" in printed and "ms per million acts, or " in printed


def test_a_written_section_is_a_network_that_scales_on(winner, monkeypatch, capsys):
    out = winner.with_name("scaled.yaml")
    monkeypatch.setattr(scaling, "_table", lambda *_: [])
    assert command(monkeypatch, capsys, winner, "--resolution", 32, "--out", out)[0] == 0
    assert command(monkeypatch, capsys, out, "--resolution", 36, "--out", out)[0] == 0
    assert build("backbones", yaml.safe_load(out.read_text())).channels[-1] > 64


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (
            None,
            [],
            r"no file .*missing\.yaml: name one with a backbone's section, such as "
            r"out/search/winner\.yaml",
        ),
        ("name: [", [], "is not YAML"),
        ("", [], "expected a section with a name"),
        ("name: regnet", [], "missing key 'depth', add it"),
        (
            "name: resnext",
            [],
            "resnext has no stages to scale: give a regnet, anynet or efficientnet",
        ),
        (
            "{name: anynet, depths: [], widths: [], bottleneck_ratios: [], group_widths: []}",
            [],
            "has no stages",
        ),
        ("name: efficientnet", ["--rule", "deep"], "unknown scaling rule 'deep': choose d, w, r"),
        ("name: efficientnet", ["--factor", "0"], "scaling factor 0.0: give a positive number"),
        ("name: efficientnet", ["--factor", "-2"], "scaling factor -2.0: give a positive number"),
        (
            "name: efficientnet",
            ["--batch", "0"],
            "--resolution and --batch: give numbers from 1 on",
        ),
    ],
)
def test_mistakes_are_told(tmp_path, monkeypatch, capsys, text, options, says):
    file = tmp_path / "missing.yaml"
    if text is not None:
        file.write_text(text)
    code, printed = command(monkeypatch, capsys, file, "--resolution", 32, *options)
    assert code == 2 and re.search(says, printed), printed


def test_the_prediction_is_a_line_through_the_members_that_ran():
    members = scaling.family(with_defaults("backbones", TINY), 32)
    assert len({member.cost["acts"] for member in members}) >= 5
    times = [3 + 2e-6 * member.cost["acts"] for member in members]
    slope, constant = scaling.predictor(members, [math.nan, *times[1:]])
    assert (slope, constant) == (pytest.approx(2e-6), pytest.approx(3))
