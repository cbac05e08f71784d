"""Commands that are no stage are called without the folder that they lie in (flows/__init__.py)."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import flows

FOLDER = Path(flows.__file__).parent
COMMANDS = [
    file.stem
    for file in sorted((FOLDER / "tools").glob("*.py"))
    if '__name__ == "__main__"' in file.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_found_by_both_names(name):
    both = [find_spec(f"flows.{name}"), find_spec(f"flows.tools.{name}")]
    assert {spec.origin for spec in both} == {str(FOLDER / "tools" / f"{name}.py")}


def test_no_name_has_two_files():
    stages = {file.stem for file in FOLDER.glob("*.py")} - {"__init__"}
    assert {"scale", "plugins", "watch"} <= set(COMMANDS) and stages.isdisjoint(COMMANDS)


@pytest.mark.parametrize("name", ["flows.plugins", "flows.tools.plugins"])
def test_a_command_runs_by_both_names(name):
    told = subprocess.run(
        [sys.executable, "-m", name, "--help"], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("usage: python -m flows.plugins ")
