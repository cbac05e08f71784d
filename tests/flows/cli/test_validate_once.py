"""params.yaml is checked before anything runs, whoever starts a stage, and once for these files."""

import sys
import time
from pathlib import Path

import pytest
import yaml

from flows.cli import command, validate, validate_once
from flows.running import settings
from tests.flows.test_pipeline import clone, edit
from tests.support.commands import run

PARAMS = Path("params.yaml").read_text()


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A folder of a project; how often the check itself has been called in it."""
    monkeypatch.chdir(tmp_path)
    settings.PARAMS.write_text(PARAMS)
    for folder in ("flows", "engine", "models", "data/targets/mine"):
        Path(folder).mkdir(parents=True)
    Path("data/targets/mine/store.json").write_text("{}")
    found = []
    monkeypatch.setattr(validate, "validate", lambda: found.append(1) or ["look here"])
    return found


def posts(store: str) -> None:
    """Posts are imported."""
    Path("data/posts").mkdir()
    Path("data/posts/store.json").write_text(store)


def test_what_has_passed_is_not_checked_again(calls, capsys):
    validate_once.validate_once()
    validate_once.validate_once()
    assert calls == [1] and capsys.readouterr().err == "note: look here\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda: settings.PARAMS.write_text(PARAMS + "\n"),
        lambda: Path("data/targets/mine/store.json").write_text("[]"),
        lambda: Path("data/targets/mine").rename("data/targets/yours"),
        lambda: posts("{}"),
        lambda: Path("models/x.py").touch(),
        lambda: Path("engine/x.py").touch(),
        lambda: settings.STATE.joinpath("checked").unlink(),
    ],
)
def test_what_has_changed_is_checked_again(calls, change):
    validate_once.validate_once()
    change()
    validate_once.validate_once()
    assert calls == [1, 1]


def test_what_was_refused_is_checked_again(calls, monkeypatch):
    def refuse() -> None:
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(validate, "validate", refuse)
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                validate_once.validate_once()
    validate_once.validate_once()
    assert calls == [1]


@pytest.mark.serial
def test_what_has_passed_costs_a_stage_no_time():
    validate_once._key()
    began = time.process_time()
    validate_once._key()
    assert time.process_time() - began < 0.3


def test_a_stage_checks_all_sections_before_it_begins(calls, monkeypatch, capsys):
    def corpus(**section) -> None:
        raise AssertionError("it has begun")

    def refuse() -> None:
        raise ValueError("finetune.epochs = 0: Input should be greater than 0")

    monkeypatch.setattr(validate, "validate", refuse)
    monkeypatch.setattr(sys, "argv", ["corpus"])
    with pytest.raises(SystemExit) as end:
        command.main(corpus)
    assert end.value.code == 2 and "error: finetune.epochs = 0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def misspelt(tmp_path_factory) -> Path:
    """A clone whose fine-tuning has a schedule that there is not; its data are none."""
    folder = tmp_path_factory.mktemp("misspelt")
    (folder / "data").mkdir()
    (folder / "data" / "post").write_text("none")
    clone(folder, small=False)
    edit(folder, "tasks", recipe={"schedule": "cosin"})
    run(folder, "dvc", "add", "-q", "data", new=True)
    return folder


@pytest.mark.parametrize("driver", [("dvc", "repro"), ("dvc", "exp", "run")], ids=" ".join)
def test_nothing_runs_with_a_wrong_value_anywhere(misspelt, driver):
    printed = run(misspelt, *driver, code=255, new=True)
    told = "error: tasks.scenes.recipe.schedule = 'cosin': Input should be 'cosine', 'steps'"
    assert told in printed
    assert printed.count("Running stage") == 1 and "Traceback" not in printed
    made = [path for path in misspelt.glob("out/**/*") if path.is_file()]
    assert not made and not (misspelt / "mlflow.db").exists()


def test_the_committed_params_are_yaml_that_dvc_reads_alike():
    from ruamel.yaml import YAML

    found = settings.parsed(Path("params.yaml"))
    assert found == yaml.safe_load(PARAMS) == YAML(typ="safe").load(PARAMS)
