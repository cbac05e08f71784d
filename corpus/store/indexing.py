"""index.parquet of a shard folder, written: a row per image, a row group per tar.

corpus.reading.index reads it, and corpus.reading.columns says what its `columns` mean.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.reading.index import INDEX
from corpus.records.kind import BaseKind

COLUMNS = {
    "id": pa.string(),
    "split": pa.string(),
    "shard": pa.int32(),
    "offset": pa.int64(),
    "size": pa.int32(),
}
# the list column of the index that a stored form reads
LISTS = {
    "class": pa.list_(pa.int32()),
    "classes": pa.list_(pa.int32()),
    "numbers": pa.list_(pa.float32()),
    "boxes": pa.list_(pa.float32()),
    "integers": pa.list_(pa.int32()),
    "flags": pa.list_(pa.bool_()),
    "reals": pa.list_(pa.float64()),
    "keypoints": pa.list_(pa.float32()),
    "masks": pa.list_(pa.binary()),
    "masks_known": pa.list_(pa.binary()),
    "panoptic": pa.list_(pa.binary()),
    "clip": pa.list_(pa.int32()),
}


class IndexWriter:
    """Writes the index of a shard folder, tar after tar: same rows, same bytes."""

    def __init__(
        self,
        folder: Path,
        kind: BaseKind,
        names: list[str],
        size: int,
        frame_rate: int | None = None,
    ):
        """`names`: of the classes, in the order of their numbers; `size`: px of all images.

        frame_rate: slots per second, of a kind of videos.
        """
        about = {"names": names, "size": size, "kind": kind.name, "columns": kind.columns}
        about |= {"frame_rate": frame_rate} if kind.media == "video" else {}
        stored = {}
        for column in kind.columns.values():
            for key in ("of", "ends"):
                if key in column:
                    stored[column[key]] = LISTS[column["read"]]
        text = json.dumps(about, ensure_ascii=False)
        self._schema = pa.schema(COLUMNS | stored).with_metadata({"tagdag": text})
        self._file = pq.ParquetWriter(folder / INDEX, self._schema, compression="zstd")

    def add(
        self, shard: int, keep: np.ndarray, images: pa.Table, values: Mapping[str, pa.Array]
    ) -> None:
        """The images (id, split, offset, size) of one tar that are to `keep`, bool (n,).

        `values`: the lists of each image by the list column that holds them; those that are no
        values are columns of `images`.
        """
        mask = pa.array(keep)
        kept = images.filter(mask)
        columns = {name: kept[name] for name in self._schema.names if name in kept.column_names}
        columns["shard"] = pa.array(np.full(len(kept), shard, np.int32))
        columns |= {name: lists.filter(mask) for name, lists in values.items()}
        rows = [columns[name] for name in self._schema.names]
        self._file.write_table(pa.table(rows, schema=self._schema))

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
