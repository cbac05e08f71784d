"""What is used of DVC beyond its documented API does what it is used for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.running import dvc_private

STAGES = """
stages:
  first: {cmd: cp in.txt first.txt, deps: [in.txt], outs: [first.txt]}
  second: {cmd: cp first.txt second.txt, deps: [first.txt], outs: [second.txt]}
  other: {cmd: cp in.txt other.txt, deps: [in.txt], outs: [other.txt]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A repository of DVC with two stages in a row and one apart, and a versioned file."""
    monkeypatch.chdir(tmp_path)
    quiet = {"DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(command, check=True, env=os.environ | quiet)
    Path("in.txt").write_text("1")
    Path("kept").mkdir()
    Path("kept/file.txt").write_text("2")
    Path("dvc.yaml").write_text(STAGES)
    with dvc_private.repository() as repo:
        repo.add("kept")
    return tmp_path


@pytest.fixture
def here(monkeypatch):
    """The stages whose commands came to this process, which ran them."""
    import dvc.stage.run

    monkeypatch.setattr(dvc.stage.run, "cmd_run", dvc.stage.run.cmd_run)  # put back afterwards
    found = []

    def run(stage) -> bool:
        found.append(stage.addressing)
        if stage.addressing == "other":
            return False
        _, source, target = stage.cmd.split()
        Path(target).write_text(Path(source).read_text() + " here")
        return True

    dvc_private.run_in_process(run)
    return found


def reproduce(name: str, **options: bool) -> None:
    with dvc_private.repository() as repo:
        repo.reproduce(name, single_item=True, **options)


def test_a_command_is_run_by_what_takes_it_and_else_by_dvc(folder, here):
    reproduce("first")
    reproduce("other")
    assert here == ["first", "other"]
    assert Path("first.txt").read_text() == "1 here" and Path("other.txt").read_text() == "1"
    assert "first.txt" in Path("dvc.lock").read_text()


def test_a_dry_run_runs_nothing(folder, here):
    reproduce("first", dry=True)
    assert not here and not Path("first.txt").exists()


def test_taking_commands_twice_leaves_one_replacement(folder, here):
    dvc_private.run_in_process(lambda stage: here.append("again") or False)
    reproduce("first")
    assert here == ["again"] and Path("first.txt").read_text() == "1"


def test_the_order_is_that_of_the_graph(folder):
    assert dvc_private.execution_order(["second"]) == ["first", "second"]
    everything = dvc_private.execution_order([])
    assert sorted(everything) == ["first", "other", "second"]
    assert everything.index("first") < everything.index("second")


def test_a_stage_would_run_unless_nothing_changed_or_the_run_cache_has_it(folder, here):
    assert dvc_private.would_run("first")
    reproduce("first")
    assert not dvc_private.would_run("first")
    Path("in.txt").write_text("edited")
    assert dvc_private.would_run("first")
    reproduce("first")
    Path("in.txt").write_text("1")  # as it was run before
    assert not dvc_private.would_run("first")


def test_an_output_is_compared_with_what_its_file_names(folder):
    with dvc_private.repository() as repo:
        assert dvc_private.output_of(repo, Path("none.dvc")) is None
        output = dvc_private.output_of(repo, Path("kept.dvc"))
        assert list(dvc_private.listing(output)) == ["file.txt"]
        assert dvc_private.in_cache(output) and not dvc_private.differs(output)
        Path("kept/file.txt").unlink()
        assert dvc_private.differs(output)


def test_what_the_cache_has_not_is_known(folder):
    for file in Path(".dvc/cache").rglob("*"):
        if file.is_file():
            file.unlink()
    with dvc_private.repository() as repo:
        output = dvc_private.output_of(repo, Path("kept.dvc"))
        assert dvc_private.listing(output) is None and not dvc_private.in_cache(output)


def test_another_command_that_holds_the_lock_is_waited_for(folder):
    holder = (
        "import time; from flows.running.dvc_private import repository\n"
        "with repository() as repo, repo.lock: print('held', flush=True); time.sleep(2)"
    )
    root = Path(dvc_private.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    child = subprocess.Popen(
        [sys.executable, "-c", holder], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with dvc_private.repository() as repo, repo.lock:  # an error at once without _wait_for_lock
        assert child.wait(60) == 0
