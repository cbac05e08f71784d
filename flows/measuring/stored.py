"""Rows out of the Parquet files of the stages, and pictures out of the shards."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.reading.index import INDEX, REPAIR
from flows.running import settings

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

    Only their rows are kept of an index that may have millions.
    """
    wanted = sorted({key for key in ids if key})
    columns = ["id", "shard", "offset", "size"]
    if not wanted:
        return {}
    table = read_rows(folder / INDEX, columns, [("id", "in", wanted)], REPAIR)
    found = {}
    for row in table.to_pylist() if table is not None else ():
        with (folder / f"{row['shard']:05d}.tar").open("rb") as tar:
            tar.seek(row["offset"])
            found[row["id"]] = tar.read(row["size"])
    return found
