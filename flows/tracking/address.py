"""Where MLflow is: a server, a data base, or a SQLite file in the project's folder.

MLFLOW_TRACKING_URI names it: http(s)://[user:password@]host:port of a server, postgresql://..., or
sqlite:///file; without it, mlflow.db in the project's folder. MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD do for the user and password of a server as well.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

SQLITE = re.compile(r"(sqlite(?:\+\w+)?):///([^?]+)(\?.*)?")
TEMPORARY = (".dvc", "tmp", "exps")  # where DVC runs experiments in folders of their own
HELP = """MLFLOW_TRACKING_URI names the MLflow that all is logged and registered to, by default
mlflow.db in this folder: http://host:5000 (user and password within it, or in
MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD) or postgresql://user@host/base.
TAGDAG_MLFLOW_PATIENCE: seconds to wait for one that is away or locked (120).
`python -m flows.environment` lists all variables of tagdag."""


def home() -> Path:
    """The project's folder; for an experiment that DVC runs apart, the folder that it came from."""
    for folder in Path.cwd().parents:
        if folder.parts[-3:] == TEMPORARY:
            return folder.parents[2]
    return Path.cwd()


def _named() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def sqlite_file() -> Path | None:
    """The SQLite file, by its whole path; None where MLflow is elsewhere."""
    found = SQLITE.fullmatch(_named())
    return home() / found[2] if found else None


def tracking_uri() -> str:
    """What MLflow is told: without user and password, and with the driver that is installed."""
    found = SQLITE.fullmatch(_named())
    if found:
        return f"{found[1]}:///{sqlite_file()}{found[3] or ''}"
    if _named().startswith("http"):
        return printable_uri().rstrip("/")
    named = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", _named())
    if named.startswith("postgresql+psycopg:") and "client_encoding" not in named:
        # a base made with the locale C gives psycopg bytes, for which SQLAlchemy is not prepared
        named += ("&" if "?" in named else "?") + "client_encoding=utf8"
    return named


def printable_uri() -> str:
    """The address as it may be printed: no user, no password, which may stand behind a ? too."""
    return re.sub(r"(?<=://).*@", "", _named()).partition("?")[0]


def ui_address() -> str:
    """Where the MLflow UI is, or will be after `make mlflow`, whose port is MLFLOW_PORT."""
    if tracking_uri().startswith("http"):
        return tracking_uri()
    return f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT') or 5000}"


def runs_address(experiment: str, run: str = "") -> str:
    """The page of an experiment's runs, or of one run.

    MLflow's start page is about other things.
    """
    return f"{ui_address()}/#/experiments/{experiment}/runs" + (f"/{run}" if run else "")


def store_label() -> str:
    """How the store is called in notes of this folder, which may be moved: a file by its name."""
    return sqlite_file().name if sqlite_file() else printable_uri()


def take_credentials() -> None:
    """Put user and password of the address where MLflow looks for them."""
    parts = urlsplit(_named())
    if parts.scheme.startswith("http") and parts.username:
        # left in the address they would stand in every message of MLflow's that quotes it
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
