"""The images of a command line, gone through as often as need be, and counted meanwhile."""

import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from corpus.sources.rows import printable_text
from corpus.sources.tars import is_archive
from corpus.sources.unlabelled import NamedImage, Naming, named_images

STDIN = "-"


class Images:
    """All images of some names, in their order; `left` counts what is left alone.

    total: how many there are; None until they have been counted.
    """

    def __init__(self, names: list[str], naming: Naming, stdin: BinaryIO | None = None) -> None:
        """stdin: paths, one a line, in the place of the name -; read whole, into a file."""
        self.names, self.naming = names, naming
        self.left: Counter[str] = Counter()
        self.total: int | None = None
        self.listed = naming.spool / "paths"
        if STDIN in names and stdin is not None:
            naming.spool.mkdir(parents=True, exist_ok=True)
            with self.listed.open("wb") as file:
                file.writelines(stdin)

    def __iter__(self) -> Iterator[NamedImage]:
        self.left = Counter()
        return self._through(self.left)

    def _through(self, left: Counter[str]) -> Iterator[NamedImage]:
        each = (
            self._lines() if name == STDIN else named_images(name, self.naming, left)
            for name in self.names
        )
        return itertools.chain.from_iterable(each)

    def _lines(self) -> Iterator[NamedImage]:
        with self.listed.open("rb") as file:
            for line in file:
                path = os.fsdecode(line.rstrip(b"\r\n"))
                if path:
                    yield NamedImage(printable_text(path), path)

    def count(self) -> None:
        """Count them in a thread, for the time that is left; not where that costs downloads."""
        if not any(_costly(name) for name in self.names):
            threading.Thread(target=self._count, name="count", daemon=True).start()

    def _count(self) -> None:
        with suppress(ValueError, OSError):  # told where they are read
            self.total = sum(1 for _ in self._through(Counter()))


def _costly(name: str) -> bool:
    """Whether what is below a name would be downloaded or unpacked twice at a time."""
    return name.startswith("s3://") or (is_archive(name) and not name.endswith(".tar"))


def spool_of(out: Path) -> Path:
    """Where what is downloaded or unpacked for a table of predictions lies meanwhile."""
    return out.with_name(f".{out.name}.spool")
