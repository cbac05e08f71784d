"""Files of DVC that a kill or a power cut leaves broken, for it writes them in place: mended.

It refuses to start with a broken one.
"""

import json
import logging
import time
from pathlib import Path

log = logging.getLogger("tagdag")
WRITING = (
    5.0  # seconds: a writer at work, who has just emptied a file, fills it within milliseconds
)


def mend_locks() -> None:
    """Those of the present folder, before DVC reads them."""
    mend_lock(Path("dvc.lock"))
    mend_rwlock(Path(".dvc/tmp/rwlock"))


def mend_lock(file: Path) -> None:
    """Put aside a dvc.lock that is empty or broken."""
    import yaml

    try:
        # of 0 bytes, as a kill leaves it, it is sound YAML: DVC writes the key into every whole one
        whole = not file.exists() or "schema" in (yaml.safe_load(file.read_text()) or {})
    except (yaml.YAMLError, UnicodeDecodeError, TypeError):
        whole = False
    if not whole:
        # nothing is lost: DVC's run cache brings back what its stages had made
        aside = file.replace(file.with_name("dvc.lock.damaged"))
        log.warning(
            "%s was broken, and is now %s: what it recorded is restored from DVC's cache",
            file,
            aside,
        )


def mend_rwlock(file: Path) -> None:
    """Remove an empty or cut table of which running process reads and writes what."""
    try:
        json.loads(file.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        if time.time() - file.stat().st_mtime > WRITING:
            file.unlink()
