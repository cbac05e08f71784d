"""The auth string of the Prefect server that `make prefect` starts, and how clients find it.

It is kept where Prefect keeps such things: in a profile (`tagdag`) of the user's profiles.toml,
beside the data base that the server guards. So `prefect --profile tagdag ...` needs no more, and
two working copies share one server. A process of ours takes it into its environment by itself.
"""

import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROFILE = "tagdag"
LOOPBACK = {"127.0.0.1", "localhost"}


def profiles_path() -> Path:
    """Where Prefect keeps the user's profiles."""
    # as Prefect's settings have it, whose import takes 1.6 s
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    return Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()


def prefect_profile() -> dict[str, Any]:
    """PREFECT_API_URL and PREFECT_API_AUTH_STRING of our profile.

    Empty before the first `make prefect`. ValueError where the file is not TOML.
    """
    path = profiles_path()
    try:
        kept = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML ({error}): mend it or move it away") from None
    return kept.get("profiles", {}).get(PROFILE, {})


def server_of(url: str) -> tuple[str, int | None] | None:
    """(host, port) of a server on this machine, its names made equal; None for any other."""
    parts = urlsplit(url)
    return ("127.0.0.1", parts.port) if parts.hostname in LOOPBACK else None


def authenticate() -> None:
    """Let this process, and those it starts, talk to the server that PREFECT_API_URL names.

    Only the server that the string was made for gets it, and an auth string of the user's stays.
    """
    server = server_of(os.environ.get("PREFECT_API_URL", ""))
    if server is None or "PREFECT_API_AUTH_STRING" in os.environ:
        return
    ours = prefect_profile()
    if ours and server_of(ours.get("PREFECT_API_URL", "")) == server:
        os.environ["PREFECT_API_AUTH_STRING"] = ours["PREFECT_API_AUTH_STRING"]


def write_profile(url: str, auth: str) -> None:
    """Write the profile, readable by the user alone; the user's other profiles stay."""
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        load_profiles,
        save_profiles,
    )

    path = profiles_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)  # before the string is written: Prefect keeps the mode of a file that exists
    profiles = load_profiles()
    settings = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: auth}
    profiles.update_profile(PROFILE, settings, source=path)
    save_profiles(profiles)
