"""An exception as cause and fix, in one or two sentences: the one place where that is said.

What lies in the input or the surroundings is told; anything else is a bug, of which `told` knows nothing.
"""

import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from flows import damaged, osfaults

ROOT = Path(__file__).parents[1]
LONGEST = 300  # characters of a library's own words
REPORT = "this is a bug of tagdag: report it with the lines above, the command, params.yaml and `git rev-parse HEAD`"
MEMORY = (
    "memory ran out ({}): lower recipe.micro or recipe.batch in params.yaml, or run fewer trainings "
    "side by side (TAGDAG_ARMS=1, TAGDAG_SEARCHERS=1)"
)
SPENT = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED", "std::bad_alloc")


def words(error: BaseException) -> str:
    """A library's own words: their first line, short."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:LONGEST]


def library(error: BaseException) -> str:
    """The package that an exception's type belongs to; "builtins" for Python's own."""
    return type(error).__module__.partition(".")[0]


def own(error: BaseException) -> bool:
    """Whether an exception was raised by this project's code, which knows why, and says so."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return True  # made, not raised: it comes from another process, or a test
    file = Path(frames[-1].filename)
    return file.is_relative_to(ROOT) and ".venv" not in file.parts


def _file(what: str) -> Callable[[BaseException], str]:
    """A damaged file: of the project where one is, else what the library says of it."""

    def tell(error: BaseException) -> str:
        return damaged.told() or f"a file is {what} ({words(error)}): mend it, or bring it back from a copy"

    return tell


def _mlflow(error: BaseException) -> str:
    from flows.sqlite import damage

    if told := damage(error, "MLflow's data base"):
        return told
    return f"MLflow did not do its part ({words(error)}): see that its server runs, then repeat the command"


def _database(error: BaseException) -> str:
    from flows.sqlite import damage

    if told := damage(error, "a data base of MLflow's or the search's (mlflow.db, .tagdag/search)"):
        return told
    text = words(error)
    if "locked" in text:
        return f"a data base is locked ({text}): see which program has it open (fuser mlflow.db), and end that"
    if "readonly" in text or "unable to open" in text:
        return f"a data base cannot be opened for writing ({text}): see owner and mode of mlflow.db and its folder"
    return f"a data base did not do its part ({text}): see MLFLOW_TRACKING_URI, TAGDAG_SEARCH_STORAGE, and that it runs"


def _dvc(error: BaseException) -> str:
    text = str(error)
    if "is not a git repository" in text:
        return (
            f"{text.partition(' is not')[0]} is not a git repository, as after the download of a ZIP: make it one "
            "(git init && git add -A && git commit -m start), or do without, runs then have no commit "
            "(dvc config --local core.no_scm true)"
        )
    if "not inside of a DVC repository" in text or type(error).__name__ == "NotDvcRepoError":
        return "this is no folder of tagdag (it has no .dvc): run the command from the project's top folder"
    if "Unable to acquire lock" in text or type(error).__name__ == "LockError":
        return "another DVC command runs in this folder: wait for its end, then run the command again"
    cause = damaged.told()
    return cause or f"DVC did not do its part ({text[:LONGEST]}): mend that, then run the command again"


def _s3(error: BaseException) -> str:
    return (
        f"the object store did not do its part ({words(error)}): see bucket and key, AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL_S3 where it is not Amazon's"
    )


def _network(error: BaseException) -> str:
    return f"a server did not answer ({words(error)}): see that it runs, and that its address is right"


def _prefect(error: BaseException) -> str:
    return (
        f"Prefect did not do its part ({words(error)}): see that its server runs (make prefect), or unset "
        "PREFECT_API_URL to run without one"
    )


def _pydantic(error: BaseException) -> str:
    found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
    return f"a setting is not what it must be ({'; '.join(found)}): mend it in params.yaml"


def _module(error: BaseException) -> str:
    return (
        f"a package is missing or broken ({words(error)}): `make setup` installs all that tagdag needs; run it "
        "in its environment (. .venv/bin/activate)"
    )


def _program(error: BaseException) -> str:
    said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
    last = (said.strip().splitlines() or [""])[-1][:LONGEST]
    name = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
    if isinstance(error, subprocess.TimeoutExpired):
        return f"`{name[:80]}` did not end in {error.timeout:.2g} s: run it by hand to see why"
    return f"`{name[:80]}` ended with {error.returncode} ({last or 'it said nothing'}): mend what it says"


LIBRARIES: dict[str, Callable[[BaseException], str]] = {
    **dict.fromkeys(("mlflow",), _mlflow),
    **dict.fromkeys(("sqlalchemy", "sqlite3", "psycopg", "optuna", "alembic"), _database),
    **dict.fromkeys(("dvc", "dvc_data", "dvc_objects", "scmrepo", "zc"), _dvc),
    **dict.fromkeys(("botocore", "boto3", "s3transfer", "aiobotocore"), _s3),
    **dict.fromkeys(("requests", "urllib", "urllib3", "http", "httpcore", "socket", "aiohttp", "ssl"), _network),
    **dict.fromkeys(("prefect", "httpx"), _prefect),
    **dict.fromkeys(("pydantic", "pydantic_core"), _pydantic),
    **dict.fromkeys(("yaml",), _file("not YAML")),
    **dict.fromkeys(("json",), _file("not JSON")),
    **dict.fromkeys(("pyarrow",), _file("no table, or damaged")),
    **dict.fromkeys(("safetensors", "safetensors_rust"), _file("no weight file, or damaged")),
    **dict.fromkeys(("tarfile", "zipfile", "gzip", "zlib", "_lzma", "lzma"), _file("no archive, or cut short")),
    **dict.fromkeys(("PIL",), _file("no image, or damaged")),
    **dict.fromkeys(("csv", "_csv"), _file("no table, or damaged")),
}


def spent(error: BaseException) -> bool:
    """Whether memory ran out, on a CPU or a GPU; torch is not imported to find out."""
    named = type(error).__name__ in ("OutOfMemoryError", "OutOfMemory", "MemoryError", "_ArrayMemoryError")
    return named or (isinstance(error, RuntimeError) and any(each in str(error) for each in SPENT))


# Python's own ValueErrors that nobody's input brings about
SLIPS = re.compile(r"values to unpack|arg is an empty|iterable argument is empty|is not in list|^zip\(\)|math domain")
# and those that tell of a text that somebody gave
CONVERTED = ("invalid literal for", "could not convert", "Invalid isoformat", "embedded null")


def _said(error: ValueError) -> bool:
    """Whether a ValueError is one of ours, with cause and fix in it."""
    if isinstance(error, UnicodeError) or library(error) in LIBRARIES or not own(error):
        return False
    return not str(error).startswith(CONVERTED)


def told(error: BaseException) -> str | None:
    """Cause and fix; None for what is a bug."""
    if isinstance(error, ValueError) and SLIPS.search(str(error)):
        return None
    if isinstance(error, ValueError) and _said(error):
        return str(error)
    if spent(error):
        return MEMORY.format(words(error))
    if isinstance(error, OSError) and (text := osfaults.told(error)) and library(error) not in LIBRARIES:
        return text
    if isinstance(error, ImportError):
        return _module(error)
    if isinstance(error, subprocess.SubprocessError) and hasattr(error, "cmd"):
        return _program(error)
    if isinstance(error, UnicodeDecodeError):
        return _file("not UTF-8")(error)
    if tell := LIBRARIES.get(library(error)):
        return tell(error)
    if isinstance(error, EOFError):
        return _file("cut short")(error)
    if isinstance(error, ValueError | OSError):
        return f"{words(error)} (said by a library, to what it was given: TAGDAG_TRACEBACK=1 shows where)"
    return None


def show_bug(error: BaseException) -> None:
    """The trace of a bug, and what to do with it."""
    traceback.print_exception(error)
    print(f"\n{REPORT}", file=sys.stderr)
