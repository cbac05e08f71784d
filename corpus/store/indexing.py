"""index.parquet of a shard folder, written: a row per image, a row group per tar.

corpus.reading.index reads it.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.reading.index import INDEX

COLUMNS = pa.schema(
    {
        "id": pa.string(),
        "split": pa.string(),
        "shard": pa.int32(),
        "offset": pa.int64(),
        "size": pa.int32(),
        "targets": pa.list_(pa.int32()),
    }
)


class IndexWriter:
    """Writes the index of a shard folder, tar after tar: same rows, same bytes."""

    def __init__(self, folder: Path, names: list[str], size: int):
        """`names`: of the classes, in the order of their numbers; `size`: px of all images."""
        about = json.dumps({"names": names, "size": size}, ensure_ascii=False)
        self._schema = COLUMNS.with_metadata({"tagdag": about})
        self._file = pq.ParquetWriter(folder / INDEX, self._schema, compression="zstd")

    def add(
        self, shard: int, keep: np.ndarray, images: pa.Table, ids: np.ndarray, sizes: np.ndarray
    ) -> None:
        """The images (id, split, offset, size) of one tar that are to `keep`, bool (n,).

        Their targets are flat int32 `ids`, `sizes` of each image.
        """
        kept = images.filter(pa.array(keep))
        ends = np.concatenate([[0], np.cumsum(sizes[keep])]).astype(np.int32)
        flat = ids[np.repeat(keep, sizes)]
        columns = {name: kept[name] for name in ("id", "split", "offset", "size")}
        columns["shard"] = pa.array(np.full(len(kept), shard, np.int32))
        columns["targets"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(flat, pa.int32()))
        rows = [columns[name] for name in COLUMNS.names]
        self._file.write_table(pa.table(rows, schema=self._schema))

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
