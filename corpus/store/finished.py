"""How far a cut import came: its finished shards, each tied to the rows of the plan that it
covers.
"""

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from corpus.records.record import json_line
from corpus.store.plan import Planned
from corpus.store.read import Shard


def take_back(folder: Path, listed: Iterable[Shard], into: Path) -> None:
    """Moves shards that a killed run put into the store, but did not list, back to its folder."""
    names = {shard.name for shard in listed}
    for stray in folder.glob("[0-9]*.*"):
        if stray.suffix in (".tar", ".jsonl") and stray.stem not in names:
            stray.replace(into / stray.name)


class Chain:
    """A hash over the plan's rows so far: equal only for equal beginnings."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def update(self, rows: Iterable[Planned]) -> None:
        """Goes on over more rows."""
        for row in rows:
            self._hash.update(f"{row.content}{row.locator}\0".encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()


def _whole(path: Path) -> list[dict]:
    """The entries up to the first that a kill has cut."""
    found: list[dict] = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:  # half a line, or half a letter
            break
    return found


class Finished:
    """What an earlier, cut run of the same import left: its shards, and how far into the plan
    each one reaches.
    """

    def __init__(self, path: Path, header: dict):
        self.path = path
        lines = _whole(path)
        self._entries = lines[1:] if lines[:1] == [header] else []
        part = path.with_suffix(".part")  # a kill while it is written must not cost the entries
        part.write_text(
            "".join(json_line(line) for line in [header, *self._entries]), encoding="utf-8"
        )
        part.replace(path)

    def keep(self, plan: Iterable[Planned], folder: Path) -> None:
        """Forgets what is not of this plan: from the first shard whose rows are others, or whose
        files lack.
        """
        chain, rows, good, done = Chain(), iter(plan), [], 0
        for entry in self._entries:
            chain.update(islice(rows, entry["rows"] - done))
            done, name = entry["rows"], entry["shard"]["name"]
            whole = all((folder / f"{name}.{kind}").exists() for kind in ("tar", "jsonl"))
            if str(chain) != entry["chain"] or not whole:
                break
            good.append(entry)
        self._entries = good

    @property
    def shards(self) -> list[Shard]:
        """The finished shards."""
        return [Shard(**entry["shard"]) for entry in self._entries]

    @property
    def refused(self) -> list[list[str]]:
        """(where, image, reason) of the rows refused on the way."""
        return [refusal for entry in self._entries for refusal in entry["refused"]]

    @property
    def rows(self) -> int:
        """Rows of the plan that are done."""
        return self._entries[-1]["rows"] if self._entries else 0

    @property
    def last(self) -> str:
        """The id stored last."""
        return self._entries[-1]["last"] if self._entries else ""

    def add(
        self, shard: Shard, rows: int, chain: Chain, last: str, refused: list[tuple[str, str, str]]
    ) -> None:
        """Takes down one more finished shard."""
        entry = {
            "shard": shard.model_dump(),
            "rows": rows,
            "chain": str(chain),
            "last": last,
            "refused": refused,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json_line(entry))
