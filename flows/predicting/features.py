"""Features of the images, a row for each: Parquet (image, features) or a numpy array.

Those of a bad image are null, in a numpy array NaN: row i is row i of the predictions.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flows.predicting.results import format_of, whole

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".parquet", ".npy")


def write_features(
    path: Path, batches: Iterable["pa.RecordBatch"], rows: int, width: int, media: str = "image"
) -> None:
    """Write features float32 (rows, width) of the rows that are kept.

    media: what the rows are of, which is the name of their column.
    """
    with whole(path) as part:
        if format_of(path, FORMATS) == ".npy":
            _write_npy(part, batches, rows, width)
        else:
            _write_parquet(part, batches, media)


def _write_npy(part: Path, batches: Iterable["pa.RecordBatch"], rows: int, width: int) -> None:
    shape = {"dtype": np.float32, "shape": (rows, width)}
    array, first = np.lib.format.open_memmap(part, "w+", **shape), 0
    for batch in batches:
        # null rows hold NaN
        values = batch["features"].values.to_numpy(zero_copy_only=False)
        array[first : first + len(batch)] = values.reshape(-1, width)
        first += len(batch)
    array.flush()


def _write_parquet(part: Path, batches: Iterable["pa.RecordBatch"], media: str) -> None:
    import pyarrow.parquet as pq

    file = None
    for batch in batches:
        some = batch.select(["image", "features"]).rename_columns([media, "features"])
        file = file or pq.ParquetWriter(part, some.schema, compression="zstd")
        file.write_batch(some)
    if file:
        file.close()
