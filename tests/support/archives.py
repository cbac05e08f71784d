"""Tars that tests write, and what is read of them."""

import io
import json
import tarfile
from pathlib import Path

from corpus.sources.archives import archive_rows

JPEG = bytes(range(256)) * 5  # no reader of tars looks into an image that is called one
SNIFFED = b"\xff\xd8\xff\xe0" + JPEG


def info(name: str, size: int = 0, **more) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in more.items():
        setattr(made, key, value)
    return made


def pack(path: Path, files, format: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of (name or TarInfo, bytes, or a dict as JSON)."""
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in files:
            data = json.dumps(data).encode() if isinstance(data, dict) else data
            entry = name if isinstance(name, tarfile.TarInfo) else info(name, len(data))
            tar.addfile(entry, io.BytesIO(data))
    return path


def read(source, kind: str = "posts", spool: Path | None = None) -> list:
    return list(archive_rows(str(source), kind, spool or Path(source).parent / "spool"))


def kept(rows: list) -> list[str]:
    return [row.fields["id"] for row in rows if not row.reason]


def reasons(rows: list) -> list[str]:
    return [f"{row.where}: {row.reason}" for row in rows if row.reason]


def posts(numbers) -> list:
    """Whole posts, an image with its JSON each."""
    return [
        entry
        for i in numbers
        for entry in (
            (f"{i:03d}.jpg", JPEG + b"%d" % i),
            (f"{i:03d}.json", {"hashtags": [f"t{i}"]}),
        )
    ]
