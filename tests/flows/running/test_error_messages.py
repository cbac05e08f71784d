"""Faults, made for real where that can be, as cause and fix: never a trace, always what to do."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from flows.cli import command
from flows.running import damaged_files, error_messages, os_errors
from tests.support import broken

ROOT = Path(__file__).parents[3]
RECORDS = Path("out/evaluate/scenes/records.json")
OF_ONE = Path("out/finetune/winner/records.json")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project's folder with params.yaml and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in ("TAGDAG_TRACEBACK", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def told(capsys: pytest.CaptureFixture, action: Callable[[], object], code: int = 2) -> str:
    """The one message with which the action ends the process."""
    with pytest.raises(SystemExit) as end, command.user_errors():
        action()
    *lines, hint = capsys.readouterr().err.splitlines()
    assert end.value.code == code and hint == "(TAGDAG_TRACEBACK=1 shows where)"
    assert not any("Traceback" in line for line in lines)
    return "\n".join(lines).removeprefix("error: ")


@pytest.mark.parametrize(
    ("make", "cause", "fix"),
    [
        (broken.no_winner, "winner.yaml is missing", "search first"),
        (lambda: OF_ONE.read_text(), "is missing", "dvc repro finetune@winner"),
        (lambda: RECORDS.read_text(), "is missing", "the stage evaluate@scenes first"),
        (lambda: next(Path("data/posts").iterdir()), "data/posts is missing", "`make data`"),
        (lambda: Path(".tagdag/x.json").read_text(), ".tagdag/x.json is gone", "run the command"),
        (lambda: Path("small.yaml").read_text(), "there is no such", "the path is right"),
        (broken.folder_gone, "was started in is gone", "change to the project's folder"),
        (broken.no_git, "git is not installed", "install it"),
        (lambda: subprocess.run(["rclone-x"], check=True), "the program rclone-x", "install it"),
        (broken.failing_program, "ended with 1 (it is", "mend what it says"),
        (broken.slow_program, "`sleep 5` did not end in 0.0", "run it by hand"),
        (broken.full_disk, "no space is left on the", "free some (`dvc gc"),
        (broken.full_disk_by_name, "MiB are free", "and it goes on"),
        (broken.another_users_file, "out/mine: this user may", "change its owner or mode"),
        (lambda: Path("/proc/version").write_text("x"), "does not answer", "from a copy"),
        (broken.too_many_files, "files are open at one", "ulimit -n 8192"),
        (broken.larger_than_allowed, "larger than a file may be", "ulimit -f"),
        (lambda: Path("a" * 300).touch(), "a name longer than the file", "give a shorter one"),
        (lambda: Path("/tmp").read_text(), "/tmp: there is a folder where", "move it away"),
        (lambda: Path("params.yaml/x").touch(), "there is a file where a", "move it away"),
        (lambda: Path("params.yaml").mkdir(exist_ok=True), "a file where a", "move it away"),
        (broken.links_in_a_circle, "a: its links lead in a circle", "remove the link"),
        (broken.taken_port, "the port is taken", "choose another port"),
        (broken.nobody_listens, "did not answer (Connection refused)", "see that the server runs"),
        (broken.no_answer_by_url, "a server did not answer", "see that it runs"),
        (broken.no_answer_by_requests, "a server did not answer", "see that it runs"),
        (broken.slow_answer, "did not answer (timed out)", "see that the server runs"),
        (broken.damaged_records, "winner/records.json is damaged (JSON", "item finetune@winner"),
        (broken.damaged_rows, "trials.jsonl is damaged (JSON", "--force --single-item search"),
        (broken.damaged_winner, "winner.yaml is not YAML, line 2", "--single-item search"),
        (broken.params_in_latin_1, "params.yaml, line 2: is not UTF-8", "save it as UTF-8"),
        (broken.no_json_of_ours, "a file is not JSON", "mend it, or bring it back from a copy"),
        (broken.damaged_table, "a file is no table, or damaged (", "mend it"),
        (broken.lost_table, "duplicates.parquet is missing", "the stage corpus first"),
        (broken.cut_archive, "a file is no archive, or cut short", "bring it back"),
        (broken.no_zip, "a file is no archive", "bring it back"),
        (broken.damaged_base, "is damaged (SQLite says", "put a backup in its place"),
        (broken.locked_base, "a data base is locked", "see which program has it open"),
        (broken.no_such_base, "a data base cannot be opened", "owner and mode"),
        (broken.dead_base, "a data base did not do its part", "TAGDAG_SEARCH_STORAGE"),
        (broken.refused_by_mlflow, "did not do its part (Run 'abc' not", "its server runs"),
        (broken.no_repository, "not a git repository, as after", "git init && git add -A"),
        (broken.no_dvc_here, "this is no folder of tagdag", "the project's top folder"),
        (broken.wrong_setting, "is not what it must be (trials: ", "mend it in params.yaml"),
        (broken.no_credentials, "object store did not do its part (Unable", "AWS_ACCESS_KEY_ID"),
        (broken.all_memory, "memory ran out (MemoryError)", "TAGDAG_ARMS=1"),
        (broken.all_memory_of_an_array, "ran out (Unable to allocate", "lower recipe.micro"),
        (broken.all_memory_of_a_tensor, "memory ran out (", "lower recipe.micro"),
        (broken.all_memory_of_a_gpu, "(CUDA out of memory", "lower recipe.micro"),
        (broken.no_weights, "model.safetensors is not a weight file", "run the stage again"),
        (broken.lost_weights, "model.safetensors is missing", "the stage pretrain@winner first"),
        (broken.no_corpus, "out/corpus is missing", "run the stage corpus first"),
        (broken.no_package, "is missing or broken (No module", "make setup"),
        (lambda: int("two"), "invalid literal for int", "TAGDAG_TRACEBACK=1 shows where"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)  # fmt: skip
def test_a_fault_is_told_with_cause_and_fix(capsys, make, cause, fix):
    message = told(capsys, make)
    assert cause in message and fix in message
    assert message.count(". ") <= 2 and len(message) < 700


@pytest.mark.parametrize("number", sorted(os_errors.TOLD))
def test_every_refusal_of_the_system_has_words_of_its_own(number):
    message = os_errors.os_error_message(OSError(number, os.strerror(number), "out/x"))
    about = ("out/x", "port", "head", "processes")
    assert ": " in message and any(word in message for word in about)


@pytest.mark.parametrize(
    "error", [KeyError("x"), AssertionError("n"), ValueError("too many values to unpack")], ids=repr
)
def test_a_bug_shows_its_trace_and_where_it_is_to_be_reported(capsys, error):
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as end, command.user_errors():
        fail()
    lines = capsys.readouterr().err.splitlines()
    assert (
        end.value.code == 1
        and lines[0].startswith("Traceback")
        and lines[-1] == error_messages.REPORT
    )


def test_a_reader_that_has_ended_is_no_trace():
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n"
    code += "from flows.cli.command import user_errors\nwith user_errors():\n"
    code += " for i in range(100_000): print(i)"
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -1', sys.executable, code],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (141, "0\n")
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_what_is_sound_is_not_called_damaged(folder):
    broken.written("out/search/winner.yaml", "name: regnet")
    broken.written("out/search/trials.jsonl", '{"a": 1}\n\n')
    broken.written(".tagdag/data.json", "{}")
    assert damaged_files.first_damaged() is None
    broken.written(".tagdag/data.json", "{")
    message = damaged_files.first_damaged()
    assert message.startswith(".tagdag/data.json is damaged (JSON, line 1: Expecting")
    assert message.endswith("): delete it, and it is made anew")
    with suppress(FileNotFoundError):
        Path(".tagdag/data.json").unlink()
