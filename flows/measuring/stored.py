"""Rows out of the Parquet files of the stages, and pictures out of the shards."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.pages.films import film
from corpus.reading.index import INDEX, REPAIR
from flows.running import settings

ENDS = "frame_ends"  # the column of an index of videos
AGAIN = "run the stage evaluate again"


def set_of(data: str) -> Path:
    """The shards of a set of the corpus, as params.yaml names it: `targets/scenes`."""
    return settings.OUT / "corpus" / data


def read_rows(
    file: Path, columns: list[str] | None, filters: Any = None, fix: str = AGAIN
) -> pa.Table | None:
    """Some rows of a table; None where there is no such file, ValueError where it is damaged."""
    if not file.is_file():
        return None
    try:
        return pq.read_table(file, columns=columns, filters=filters, partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        cause = str(error).splitlines()[0]
        raise ValueError(f"{file} cannot be read ({cause}): {fix}") from error


def pictures(folder: Path, ids: Iterable[str]) -> dict[str, bytes]:
    """The encoded images of these ids in a shard folder, as far as it has them.

    Of videos some frames of each, side by side.
    """
    return {key: _shown(*found) for key, found in _stored(folder, ids)}


def stored_digests(folder: Path, ids: Iterable[str]) -> list[bytes]:
    """SHA-256 of what is stored of each of these ids, as far as there is something."""
    return [sha256(data).digest() for _, (data, _) in _stored(folder, ids)]


def _shown(data: bytes, ends: list[int] | None) -> bytes:
    return data if ends is None else film(data, np.array(ends))


def _stored(
    folder: Path, ids: Iterable[str]
) -> Iterator[tuple[str, tuple[bytes, list[int] | None]]]:
    """(id, (bytes, of a video where its frames end)); one at a time.

    Only their rows are kept of an index that may have millions.
    """
    wanted = sorted({key for key in ids if key})
    if not wanted or not (folder / INDEX).is_file():
        return
    columns = ["id", "shard", "offset", "size"]
    columns += [name for name in pq.read_schema(folder / INDEX).names if name == ENDS]
    table = read_rows(folder / INDEX, columns, [("id", "in", wanted)], REPAIR)
    for row in table.to_pylist():
        with (folder / f"{row['shard']:05d}.tar").open("rb") as tar:
            tar.seek(row["offset"])
            yield row["id"], (tar.read(row["size"]), row.get(ENDS))
