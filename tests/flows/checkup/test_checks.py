"""What `tagdag doctor` finds: each check sees its own fault, and says how to mend it."""

import json
import os
import shutil
import sys
import time
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.checkup import checks, machine, project, services
from flows.checkup.finding import NOTE, OK, WRONG, Finding, guarded
from flows.tools import doctor


def test_all_checks_of_a_sound_folder(monkeypatch, place, capsys):
    """Nothing is wrong in a fresh clone, and nothing is made by looking."""
    monkeypatch.setattr(machine, "packages", lambda: Finding(OK, ""))
    Path(".git").mkdir()
    before = [(path, path.stat().st_mtime_ns) for path in sorted(place.rglob("*"))]
    found = dict(checks.findings())
    assert list(found)[-1] == "clock" and found["MLflow"].state == OK
    assert found["git"].state == WRONG  # an empty folder is no repository
    assert found["data"].state == NOTE and "make data" in found["data"].fix
    assert [(path, path.stat().st_mtime_ns) for path in sorted(place.rglob("*"))] == before
    capsys.readouterr()


def test_a_lock_file_is_read_with_its_markers(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text(
        "numpy==2.4.6 \\\n    --hash=sha256:aa\n"
        "Ruamel.Yaml==0.19.1 \\\n    --hash=sha256:bb\n"
        "nothing==1 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
    )
    assert machine.locked_versions(lock) == {"numpy": "2.4.6", "ruamel-yaml": "0.19.1"}


def test_packages_tell_broken_bounds_and_other_versions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert machine.packages().state == NOTE  # no lock
    Path("requirements.lock").write_text("numpy==0.1 \\\n    --hash=sha256:aa\n")
    Path("pyproject.toml").write_text('[project]\ndependencies = ["numpy>=1"]\n')
    found = machine.packages()
    assert found.state == NOTE and "locked 0.1" in found.found
    Path("pyproject.toml").write_text('[project]\ndependencies = ["numpy>=99", "no-such-thing"]\n')
    found = machine.packages()
    assert found.state == WRONG and "no-such-thing (here: missing)" in found.found


def test_little_disk_is_told(monkeypatch):
    for gib, state in ((0.5, WRONG), (3, NOTE), (50, OK)):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _, gib=gib: SimpleNamespace(free=gib * machine.GIB)
        )
        assert machine.disk().state == state


def test_a_clock_that_is_off_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert machine.clock([formatdate(time.time())]).state == OK
    found = machine.clock([formatdate(time.time()), formatdate(time.time() + 3600)])
    # a second may have passed meanwhile
    assert found.state == WRONG and found.found[:7] in ("-3600 s", "-3599 s")
    Path("params.yaml").touch()
    assert machine.clock([]).state == OK
    os.utime("params.yaml", (time.time() + 900, time.time() + 900))
    assert machine.clock([]).state == WRONG


def test_variables_that_do_nothing_are_told(monkeypatch):
    monkeypatch.setenv("TAGDAG_ARMZ", "2")
    assert "TAGDAG_ARMS" in project.variables().found
    monkeypatch.setenv("TAGDAG_ARMS", "many")
    assert guarded(project.variables).state == WRONG


def test_a_server_that_is_away_or_of_another_release(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert services.prefect([]).state == OK
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert services.prefect([]).state == WRONG
    answer = SimpleNamespace(status_code=200, headers={"Date": "now"}, json=lambda: "3.0.0")
    monkeypatch.setattr("requests.get", lambda *_, **__: answer)
    dates = []
    found = services.prefect(dates)
    assert found.state == NOTE and "3.0.0" in found.found and dates == ["now"]
    answer.status_code = 401
    assert services.prefect([]).state == WRONG


def test_an_s3_remote_is_asked_and_gives_the_time(s3):
    dates = []
    assert services.remote(f"s3://{s3.bucket}/dvc", {}, dates).state == OK and dates
    found = guarded(services.remote, "s3://no-such-bucket-here/dvc", {}, dates)
    assert found.state == WRONG and "secret" not in found.found


def test_a_folder_as_remote(tmp_path):
    assert services.remote(str(tmp_path), {}, []).state == OK
    assert services.remote(str(tmp_path / "none"), {}, []).state == NOTE
    found = services.remote("ssh://user:word@host/path", {}, [])
    assert found.state == NOTE and "word" not in found.found


def test_the_exit_code_and_json(monkeypatch, capsys):
    monkeypatch.setenv("TAGDAG_MLFLOW_PATIENCE", "1")  # which the command sets, and is put back
    for state, code in ((OK, 0), (NOTE, 0), (WRONG, 1)):
        found = [("disk", Finding(state, "told", "mend it"))]
        monkeypatch.setattr(checks, "findings", lambda found=found: iter(found))
        monkeypatch.setattr(sys, "argv", ["doctor", "--json"])
        with pytest.raises(SystemExit) as ended:
            doctor.main()
        assert ended.value.code == code
        assert json.loads(capsys.readouterr().out)["disk"]["fix"] == "mend it"
