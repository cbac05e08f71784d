"""The check of params.yaml, paid once: what has passed is known by the files that it was about.

It imports torch and Optuna: a second stage, or a pipeline with nothing to do, need not wait for it.
"""

import sys
from pathlib import Path

from engine.core.digest import digest
from flows.running import settings

CODE = tuple(map(Path, ("candidates", "flows", "engine", "models", "corpus/splits.py")))


def validate_once() -> None:
    """Check params.yaml against signatures and data, unless these very files have passed it before.

    ValueError with cause and fix; what is only to be noted is printed, once. All stages call this
    first, by whichever driver they run.
    """
    passed, key = settings.STATE / "checked", _key()
    if passed.is_file() and passed.read_text() == key:
        return
    from flows.cli.validate import validate

    for note in validate():
        print(f"note: {note}", file=sys.stderr)
    settings.STATE.mkdir(exist_ok=True)
    # after the check: what was refused is checked again
    passed.write_text(key)


def _key() -> str:
    """Of params.yaml, of the data's records, and of the code that says what may be in them."""
    data = Path("data")
    # their records only: the files of data/ are compared with these elsewhere
    # (flows/data/intact.py)
    stores = [data / "posts" / "store.json", *sorted(data.glob("targets/*/store.json"))]
    files = [settings.PARAMS, *stores, *CODE]
    missing = [path.as_posix() for path in files if not path.exists()]
    # missing ones by name: a store that comes or goes is another state
    return digest(missing, *map(str, stores), *(path for path in files if path.exists()))
