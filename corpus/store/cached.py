"""A folder of the stage corpus' cache: written whole or not at all, an index beside its tar."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.checksums import write_checksums
from corpus.store.write import swap


@contextmanager
def whole(into: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `into` with its checksums if the block ends well."""
    part = into.with_name(f".{into.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    write_checksums(part, {})
    swap(part, into)


def write_rows(part: Path, rows: Sequence[tuple], schema: pa.Schema) -> None:
    """index.parquet of the rows, a tuple of the schema's fields each."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.table(arrays, schema=schema), part / "index.parquet", compression="zstd")
