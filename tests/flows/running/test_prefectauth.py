"""How commands find the auth string of the Prefect server, and who else does not get it."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flows.running import prefectauth
from flows.running.orchestrate import flow

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of Prefect's with our profile in it; nothing in the environment."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    text = '[profiles.tagdag]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n'
    text += 'PREFECT_API_AUTH_STRING = "kept"\n'
    (tmp_path / "profiles.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://127.0.0.1:4200/api", "kept"),
        ("http://localhost:4200/api", "kept"),
        ("http://127.0.0.1:4201/api", None),
        ("https://prefect.example/api", None),
        ("http://127.0.0.1.evil.example:4200/api", None),
        (None, None),
    ],
)
def test_only_the_server_it_was_made_for_gets_the_auth_string(home, monkeypatch, url, sent):
    if url:
        monkeypatch.setenv("PREFECT_API_URL", url)
    prefectauth.authenticate()
    got = os.environ.get("PREFECT_API_AUTH_STRING")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    assert got == sent


def test_an_auth_string_of_the_users_stays(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "theirs")
    prefectauth.authenticate()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "theirs"


def test_a_first_use_of_a_flow_takes_the_auth_string(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "restored at the end")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    prefect = ModuleType("prefect")
    prefect.flow = lambda function, **settings: os.environ["PREFECT_API_AUTH_STRING"]
    monkeypatch.setitem(sys.modules, "prefect", prefect)
    assert flow(lambda: 1).prefect() == "kept"  # there before Prefect was asked for anything


def test_other_profiles_of_the_user_stay(home):
    other = '[profiles.work]\nPREFECT_API_URL = "https://prefect.example/api"\n'
    (home / "profiles.toml").write_text('active = "work"\n' + other)
    code = (
        "from flows.running.prefectauth import write_profile; "
        "write_profile('http://127.0.0.1:4300/api', 'new')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    text = (home / "profiles.toml").read_text()
    assert 'active = "work"' in text and other in text
    assert prefectauth.prefect_profile() == {
        "PREFECT_API_URL": "http://127.0.0.1:4300/api",
        "PREFECT_API_AUTH_STRING": "new",
    }
    assert stat.S_IMODE((home / "profiles.toml").stat().st_mode) == 0o600


def test_a_broken_profiles_file_is_told(home):
    (home / "profiles.toml").write_text("[broken")
    with pytest.raises(ValueError, match="not TOML"):
        prefectauth.prefect_profile()
