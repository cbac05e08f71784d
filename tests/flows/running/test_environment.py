"""The environment variables: one table, typed and ranged, wrong ones told before anything runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core import environment as table
from flows.cli.command import user_errors
from flows.running import environment

ROOT = Path(__file__).parents[3]
WRONG = {  # a value that each of them refuses, and what it is to be
    "TAGDAG_WORKERS": ("two", "a whole number from 1 to 256"),
    "TAGDAG_ARMS": ("2:0", "how many processes, from 1 to 256"),
    "TAGDAG_SEARCHERS": ("257", "a whole number from 1 to 256"),
    "TAGDAG_RUNNER": ("threads", "processes, dask or ray"),
    "TAGDAG_DASK": ("host:8786", "an address such as tcp://host:8786"),
    "TAGDAG_SEARCH_STORAGE": ("host/base", "an address such as postgresql://"),
    "TAGDAG_STORAGE_PATIENCE": ("-1", "seconds, a number from 0 to 86400"),
    "TAGDAG_MLFLOW_PATIENCE": ("nan", "seconds, a number from 0 to 86400"),
    "TAGDAG_PREFECT_PATIENCE": ("soon", "seconds, a number from 0 to 86400"),
    "TAGDAG_ARTIFACTS": ("s3://user:word@bucket/x", "an address such as s3://bucket"),
    "TAGDAG_PIPELINE_RUN": ("a b", "the id of a run in MLflow"),
    "TAGDAG_CHECKPOINT_SECONDS": ("x", "seconds, a number from 0 to 86400"),
    "TAGDAG_THREADS": ("1.5", "a whole number from 0 to 256"),
    "TAGDAG_CACHE_MB": ("1e3", "a whole number from 0 to 1048576"),
    "TAGDAG_RETRIES": ("21", "a whole number from 0 to 20"),
    "TAGDAG_RETRY_SECONDS": ("-1", "seconds, a number from 0 to 86400"),
    "TAGDAG_STAGE_HOURS": ("0", "hours, a number from 0.0001 to 10000"),
    "TAGDAG_APPROVAL": ("yes", "hours, a number from 0 to 720"),
    "TAGDAG_WEBHOOK": ("file:///etc/passwd", "an http:// or https:// address"),
    "TAGDAG_TRACEBACK": ("maybe", "1 (yes) or 0 (no)"),
    "TAGDAG_THREADS_EACH": ("-1", "a whole number from 0 to 256"),
    "TAGDAG_BENCHMARK_SECONDS": ("0", "seconds, a number from 0.1 to 3600"),
    "TAGDAG_NO_WHEELS": ("2", "1 (yes) or 0 (no)"),
}
GOOD = {
    "TAGDAG_WORKERS": ("8", 8),
    "TAGDAG_ARMS": ("2:4", "2:4"),
    "TAGDAG_RUNNER": ("processes:256", "processes:256"),
    "TAGDAG_SEARCH_STORAGE": ("postgresql://u@h/b", "postgresql://u@h/b"),
    "TAGDAG_CHECKPOINT_SECONDS": ("0.3", 0.3),
    "TAGDAG_TRACEBACK": ("Yes", True),
}


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """None of them is set."""
    for name in [name for name in os.environ if name.startswith("TAGDAG_")]:
        monkeypatch.delenv(name)


def test_the_table_has_what_the_code_reads_and_nothing_else():
    folders = ("flows", "engine", "models", "metrics", "corpus", "benchmarks")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.*")]
    files = [file for file in files if file.suffix in (".py", ".sh")]
    files += [ROOT / "Makefile", ROOT / "README.md"]
    files = [file for file in files if file.name != "environment.py"]
    found = {name for file in files for name in re.findall(r"TAGDAG_[A-Z]\w+", file.read_text())}
    assert found == set(table.VARIABLES) == set(WRONG)


def test_nobody_reads_one_by_hand():
    pattern = r"""(environ\.get\(|getenv\()["']TAGDAG_|environ\[["']TAGDAG_\w+["']\](?! =)"""
    for folder in ("flows", "engine", "corpus", "models", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            lines = [line for line in file.read_text().splitlines() if re.search(pattern, line)]
            # the search sets it for its workers for a while, and puts back what the user had set
            assert not lines or file.name == "workers.py", (file, lines)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_with_its_name_value_and_range(monkeypatch, capsys, name):
    given, wants = WRONG[name]
    monkeypatch.setenv(name, given)
    shown = "..." if table.VARIABLES[name].secret else given  # there may be a password in it
    ran = []
    with pytest.raises(SystemExit) as end, user_errors():
        ran.append(name)
    assert end.value.code == 2 and not ran
    assert capsys.readouterr().err.startswith(f"error: {name}={shown}: give {wants}")


@pytest.mark.parametrize("name", GOOD)
def test_a_right_value_is_typed(monkeypatch, name):
    given, found = GOOD[name]
    monkeypatch.setenv(name, given)
    assert table.value(name) == found and type(table.value(name)) is type(found)
    monkeypatch.setenv(name, "")
    assert table.value(name) == table.VARIABLES[name].default


def test_all_wrong_ones_are_told_at_once(monkeypatch):
    for name, (given, _) in WRONG.items():
        monkeypatch.setenv(name, given)
    assert [message.partition("=")[0] for message in table.wrong()] == list(WRONG)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TAGDAG_WORKER", "did you mean TAGDAG_WORKERS?"),
        ("TAGDAG_CHECKPOINT_SECS", "did you mean TAGDAG_CHECKPOINT_SECONDS?"),
        ("TAGDAG_ZZZ", "`python -m flows.environment` lists"),
    ],
)
def test_an_unknown_one_is_told_with_the_nearest(monkeypatch, capsys, name, near):
    monkeypatch.setenv(name, "1")
    environment.check_environment()
    told = capsys.readouterr().err
    assert told.startswith(f"warning: {name} is no variable of tagdag and does nothing: ")
    assert near in told
    environment.check_environment(warn=False)  # of a process that another has started
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "given", "cores", "warned"),
    [
        ("TAGDAG_WORKERS", "64", 2, True),
        ("TAGDAG_WORKERS", "2", 2, False),
        ("TAGDAG_ARMS", "2:4", 2, True),
        ("TAGDAG_ARMS", "2:4", 8, False),
        ("TAGDAG_SEARCHERS", "3", 2, True),
        ("TAGDAG_RUNNER", "dask:9", 8, True),
        ("TAGDAG_RUNNER", "dask", 1, False),
    ],
)
def test_more_than_there_are_cores_is_told(monkeypatch, name, given, cores, warned):
    monkeypatch.setattr(environment, "cores", lambda: cores)
    monkeypatch.setattr(environment, "gpu_count", lambda: 0)
    monkeypatch.setenv(name, given)
    told = environment.crowding_variables()
    assert bool(told) is warned
    assert all(line.startswith(f"{name}={given} on {cores} cores: the ") for line in told)
    assert all("take turns, slower" in line for line in told)
    monkeypatch.setattr(environment, "gpu_count", lambda: 8)
    assert environment.crowding_variables() == []


def test_the_table_is_printed_and_a_wrong_value_below_it():
    env = os.environ | {"TAGDAG_CACHE_MB": "much"}
    command = [sys.executable, "-m", "flows.environment"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and "TAGDAG_CACHE_MB=much: give a whole number" in done.stderr
    helped = [*command, "--help"]
    shown = subprocess.run(helped, cwd=ROOT, env=env, capture_output=True, text=True)
    assert all(f"\n{name}\n" in shown.stdout for name in table.VARIABLES)
