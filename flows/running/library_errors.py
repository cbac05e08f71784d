"""What a library refused, with cause and fix: MLflow, DVC, data bases, archives, servers."""

import subprocess
from collections.abc import Callable

from flows.running import damaged_files

LONGEST = 300  # characters of a library's own words


def first_line(error: BaseException) -> str:
    """A library's own words: their first line, short."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:LONGEST]


def library_of(error: BaseException) -> str:
    """The package that an exception's type belongs to; "builtins" for Python's own."""
    return type(error).__module__.partition(".")[0]


def damage_message(what: str) -> Callable[[BaseException], str]:
    """A damaged file: of the project where one is, else what the library says of it."""

    def tell(error: BaseException) -> str:
        cure = "mend it, or bring it back from a copy"
        return damaged_files.first_damaged() or f"a file is {what} ({first_line(error)}): {cure}"

    return tell


def _mlflow(error: BaseException) -> str:
    from flows.running import sqlite

    # MLflow wraps the errors of its data base: only SQLite's words are left of the cause
    told = sqlite.damage_of(error, "MLflow's data base")
    if told:
        return told
    fix = "see that its server runs, then repeat the command"
    return f"MLflow did not do its part ({first_line(error)}): {fix}"


def _database(error: BaseException) -> str:
    from flows.running import sqlite

    # either: the error does not say which file
    told = sqlite.damage_of(error, "a data base (mlflow.db, or one in .tagdag/search)")
    if told:
        return told
    text = first_line(error)
    if "locked" in text:
        fix = "see which program has it open (fuser mlflow.db), and end that"
        return f"a data base is locked ({text}): {fix}"
    if "readonly" in text or "unable to open" in text:
        fix = "see owner and mode of mlflow.db and its folder"
        return f"a data base cannot be opened for writing ({text}): {fix}"
    fix = "see MLFLOW_TRACKING_URI, TAGDAG_SEARCH_STORAGE, and that it runs"
    return f"a data base did not do its part ({text}): {fix}"


def _dvc(error: BaseException) -> str:
    text = str(error)
    if "is not a git repository" in text:
        return (
            f"{text.partition(' is not')[0]} is not a git repository, as after the download of a "
            "ZIP: make it one (git init && git add -A && git commit -m start), or do without, runs "
            "then have no commit "
            "(dvc config --local core.no_scm true)"
        )
    if "not inside of a DVC repository" in text or type(error).__name__ == "NotDvcRepoError":
        fix = "run the command from the project's top folder"
        return f"this is no folder of tagdag (it has no .dvc): {fix}"
    if "Unable to acquire lock" in text or type(error).__name__ == "LockError":
        return "another DVC command runs in this folder: wait for its end, then run this again"
    fix = "mend that, then run the command again"
    return damaged_files.first_damaged() or f"DVC did not do its part ({text[:LONGEST]}): {fix}"


def _s3(error: BaseException) -> str:
    return (
        f"the object store did not do its part ({first_line(error)}): see bucket and key, "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL_S3 if it is not "
        "Amazon's"
    )


def _network(error: BaseException) -> str:
    fix = "see that it runs, and that its address is right"
    return f"a server did not answer ({first_line(error)}): {fix}"


def _prefect(error: BaseException) -> str:
    return (
        f"Prefect did not do its part ({first_line(error)}): see that its server runs (make "
        "prefect), or unset PREFECT_API_URL to run without one"
    )


def _pydantic(error: BaseException) -> str:
    found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
    return f"a setting is not what it must be ({'; '.join(found)}): mend it in params.yaml"


def import_message(error: BaseException) -> str:
    return (
        f"a package is missing or broken ({first_line(error)}): `make setup` installs all that "
        "tagdag needs; run it in its environment (. .venv/bin/activate)"
    )


def program_message(error: BaseException) -> str:
    said = error.stderr or ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else said
    last = (said.strip().splitlines() or [""])[-1][:LONGEST]
    name = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
    if isinstance(error, subprocess.TimeoutExpired):
        return f"`{name[:80]}` did not end in {error.timeout:.2g} s: run it by hand to see why"
    cause = last or "it said nothing"
    return f"`{name[:80]}` ended with {error.returncode} ({cause}): mend what it says"


# by the name of the package: none of them has to be imported to know its errors
LIBRARIES: dict[str, Callable[[BaseException], str]] = {
    **dict.fromkeys(("mlflow",), _mlflow),
    **dict.fromkeys(("sqlalchemy", "sqlite3", "psycopg", "optuna", "alembic"), _database),
    # zc: zc.lockfile, by which DVC locks
    **dict.fromkeys(("dvc", "dvc_data", "dvc_objects", "scmrepo", "zc"), _dvc),
    **dict.fromkeys(("botocore", "boto3", "s3transfer", "aiobotocore"), _s3),
    **dict.fromkeys(("requests", "urllib", "urllib3", "http", "httpcore"), _network),
    **dict.fromkeys(("socket", "aiohttp", "ssl"), _network),
    **dict.fromkeys(("prefect", "httpx"), _prefect),
    **dict.fromkeys(("pydantic", "pydantic_core"), _pydantic),
    **dict.fromkeys(("yaml",), damage_message("not YAML")),
    **dict.fromkeys(("json",), damage_message("not JSON")),
    **dict.fromkeys(("pyarrow",), damage_message("no table, or damaged")),
    **dict.fromkeys(
        ("safetensors", "safetensors_rust"), damage_message("no weight file, or damaged")
    ),
    **dict.fromkeys(("tarfile", "zipfile", "gzip"), damage_message("no archive, or cut short")),
    **dict.fromkeys(("zlib", "_lzma", "lzma"), damage_message("no archive, or cut short")),
    **dict.fromkeys(("PIL",), damage_message("no image, or damaged")),
    **dict.fromkeys(("csv", "_csv"), damage_message("no table, or damaged")),
}
