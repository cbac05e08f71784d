"""The one entry: every command that it lists is there, and gets what was typed."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import tagdag

ASKED = ("version", "run", "search", "evaluate", "compare", "predict", "serve", "promote")
ASKED += ("rollback", "prune", "up", "down", "explain", "doctor")


def test_the_list_names_every_command():
    told = CliRunner().invoke(tagdag.app, ["--help"]).output
    assert set(ASKED) <= set(tagdag.COMMANDS)
    for name in tagdag.COMMANDS:
        assert f" {name} " in told


@pytest.mark.parametrize("name", tagdag.COMMANDS)
def test_a_command_has_a_main_that_tells_its_options(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tagdag"])
    with pytest.raises(SystemExit) as ended:
        tagdag.forward(name, ["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: tagdag {name} ")


def test_options_reach_the_module_as_they_were_typed(monkeypatch):
    # by the name that the entry imports: flows.tools.explain would be another module object
    explain, seen = importlib.import_module("flows.explain"), []
    monkeypatch.setattr(explain, "main", lambda: seen.append(sys.argv))
    asked = ["explain", "--wordnet", "a b.xml", "--", "#Dog", "--help"]
    monkeypatch.setattr(sys, "argv", ["tagdag", *asked])
    tagdag.main()
    assert seen == [["tagdag explain", *asked[1:]]]


def test_a_command_that_there_is_not(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tagdag", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        tagdag.main()
    assert ended.value.code == 2 and "nonsense" in capsys.readouterr().err


def test_a_stage_is_run_with_what_it_needs(monkeypatch):
    pipeline, seen = importlib.import_module("flows.pipeline"), []
    monkeypatch.setattr(pipeline, "main", lambda: seen.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", ["tagdag"])
    tagdag.forward("search", ["--force"])
    assert seen == [["search", "--force"]]


def test_help_comes_at_once_and_imports_nothing_large():
    program = "import sys; from flows.cli import tagdag; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    for name in ("torch", "mlflow", "prefect", "dvc", "numpy"):
        assert f"'{name}'" not in loaded


@pytest.mark.serial
def test_help_takes_less_than_half_a_second():
    script = Path(sys.executable).with_name("tagdag")
    if not script.is_file():
        pytest.skip("tagdag is not installed: make setup")
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([script, "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.5


def test_the_clone_in_which_it_is_called_answers(tmp_path):
    """The entry of one clone's environment, called in another clone, runs that one's code."""
    script = Path(sys.executable).with_name("tagdag")
    if not script.is_file():
        pytest.skip("tagdag is not installed: make setup")
    for name in ("flows", "engine", "models", "metrics", "corpus"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    (tmp_path / "flows").unlink()
    (tmp_path / "flows" / "cli").mkdir(parents=True)
    (tmp_path / "flows" / "__init__.py").touch()
    (tmp_path / "flows" / "cli" / "tagdag.py").write_text("print('this clone')")
    told = subprocess.run(
        [script, "--help"], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert told.stdout == "this clone\n"
