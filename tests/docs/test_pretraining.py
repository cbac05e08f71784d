"""The settings of docs/pretraining.md are ones: laid over params.yaml they pass every check.

What is said of passes through the backbone is counted.
"""

import re
from pathlib import Path

import pytest
import yaml

from benchmarks.clone import merged
from benchmarks.selfsup import passes
from flows.cli import validate
from tests.support import params

PAGE = (Path(__file__).parents[2] / "docs" / "pretraining.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
PASSES = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d.]+) (\+ small )?\+ (\d)", PAGE, re.MULTILINE)
# that six small views are 1.5
SMALL = {"name": "crops", "small": 6, "small_size": 16}
# as small as they may be: projectors are no part of what is counted
NARROW = {
    "moco": {"queue": 16},
    "barlow_twins": {"hidden": 16, "width": 16},
    "byol": {"hidden": 16},
    "swav": {"hidden": 16, "prototypes": 16, "views": SMALL},
    "dino": {"hidden": 16, "prototypes": 16, "views": SMALL},
    "predet": {"hidden": 16},
}


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_valid(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    params.written(merged(params.PARAMS, yaml.safe_load(text)))
    validate.validate()


def test_there_are_examples():
    assert len(EXAMPLES) == 3 and len(PASSES) == 10


@pytest.mark.parametrize(("name", "trained", "small", "taught"), PASSES, ids=lambda x: x)
def test_passes_are_as_the_page_says(name, trained, small, taught):
    objective = {"name": name} | NARROW.get(name, {})
    sections = {"backbone": params.REFERENCE, "objective": objective, "head": {"name": "linear"}}
    found = passes(sections, 32)
    assert found == pytest.approx((float(trained) + 1.5 * bool(small), float(taught)), abs=0.01)
