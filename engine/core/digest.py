"""Content keys: what a run was made from, as one short name."""

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(*parts: Any) -> str:
    """Hexadecimal key of a run's inputs: files and folders by content, all else by its JSON."""
    key = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            # sorted, for rglob has the order of the file system
            files = sorted(f for f in part.rglob("*") if f.is_file()) if part.is_dir() else [part]
            for file in files:
                # which changes with each interpreter that imports
                if "__pycache__" not in file.parts:
                    name = file.relative_to(part).as_posix()
                    key.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
        else:
            key.update(json.dumps(part, sort_keys=True, default=str).encode() + b"\n")
    return key.hexdigest()[:16]
