"""data/quarantine.jsonl: every row that was refused, with the reason."""

import hashlib
import json
from pathlib import Path


def note_refused(path: Path, refused: Path, store: str, replaced: bool) -> None:
    """Adds the rows of the list `refused` to `path`, each once; those of a replaced store go first.

    Both are JSONL with the key `store`. No entry, no file. What stands there keeps its place, so
    that an import that is run again after a kill leaves the same bytes.
    """
    part, there = refused.with_name(path.name), set()
    with part.open("wb") as file:
        for line in path.open("rb") if path.exists() else ():
            if not (replaced and json.loads(line)["store"] == store):
                there.add(hashlib.sha256(line).digest())
                file.write(line)
        for line in refused.open("rb"):
            if hashlib.sha256(line).digest() not in there:
                file.write(line)
    if part.stat().st_size:
        part.replace(path)
    else:
        path.unlink(missing_ok=True)
