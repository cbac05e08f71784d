"""What a run says that it was made from, by a real git: changes, no git, a git that refuses."""

import os
import subprocess
from pathlib import Path

import pytest

from flows.running.error_messages import error_message
from flows.tracking import origin


def git(*arguments: str) -> None:
    """A git command in the present folder."""
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a params.yaml in its first commit."""
    params = Path("params.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    Path("params.yaml").write_text(params)
    Path("code.py").write_text("a = 1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "Tidier search and spaces: one function lists a RegNet's stages")
    origin._refused.cache_clear()
    return tmp_path


def test_states_of_changed_code_are_told_apart(project):
    clean = origin.origin()
    assert "tagdag.changes" not in clean and len(clean["tagdag.commit"]) == 40
    seen = []
    for text in ("a = 2\n", "a = 3\n"):
        Path("code.py").write_bytes(text.encode() + b"\xff")
        seen.append(origin.origin())
    assert (
        seen[0]["tagdag.commit"] == seen[1]["tagdag.commit"] == clean["tagdag.commit"] + "+changes"
    )
    assert seen[0]["tagdag.changes"] != seen[1]["tagdag.changes"]


def test_a_name_for_people(project, monkeypatch):
    tags = origin.origin()
    assert origin.run_title(tags)[16:] == ": Tidier search and spaces: one function l"
    assert origin.run_title(tags | {"tagdag.changes": "x"}).endswith("one function l +changes")
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-quail")
    assert origin.run_title(origin.origin())[16:] == ": experiment puffy-quail"
    assert origin.origin()["tagdag.experiment"] == "puffy-quail"


def test_a_folder_without_repository_or_commit_has_none(project, caplog):
    subprocess.run(["rm", "-rf", ".git"], check=True)
    os.environ["GIT_CEILING_DIRECTORIES"] = str(project.parent)
    try:
        assert origin.origin()["tagdag.commit"] == "none"
    finally:
        del os.environ["GIT_CEILING_DIRECTORIES"]
    git("init", "-q")
    assert origin.origin()["tagdag.commit"] == "none" and not caplog.records


def test_a_folder_of_another_user_is_told_once_with_the_fix(project, monkeypatch, caplog):
    # git's own switch for its tests: every folder belongs to another user
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert [origin.origin()["tagdag.commit"] for _ in range(2)] == ["unknown"] * 2
    assert caplog.text.count("git config --global --add safe.directory") == 1
    assert str(project) in caplog.text


def test_a_broken_repository_is_told(project, caplog):
    Path(".git/config").write_text("[broken")
    assert origin.origin()["tagdag.commit"] == "unknown" and "git said: " in caplog.text


def test_a_machine_without_git_is_told(project, monkeypatch):
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(ValueError, match="git is not installed") as error:
        origin.origin()
    assert "free space" not in error_message(error.value) and "install it" in error_message(
        error.value
    )
