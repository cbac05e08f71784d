"""Training shards of any records, as the stage corpus writes them of its own."""

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus.checksums import write_checksums
from corpus.reading.columns import derived_columns
from corpus.records.kind import BaseKind, class_lists
from corpus.store.indexing import IndexWriter
from corpus.store.write import add_member, replacing


class Both(BaseKind):
    """Posts whose only hashtag, where all have one, is their label as well."""

    def __init__(self, single: bool):
        self.name = "labels" if single else "posts"
        self.columns = derived_columns(single)


def write_shards(
    folder: Path,
    records: Iterable[tuple[str, str, bytes, list[int]]],
    names: list[str],
    size: int,
    shard_bytes: int = 64 << 20,
    kind: BaseKind | None = None,
) -> int:
    """Writes (id, split, size x size JPEG, targets) as `folder`, same bytes for same input.

    kind: of the set; by default one that can be read as hashtags, and as labels where it has some.
    Returns their number.
    """
    with replacing(folder) as part:
        records = list(records)
        single = all(len(targets) == 1 for *_, targets in records)
        with IndexWriter(part, kind or Both(single), names, size) as index:
            shard = count = 0
            stream = iter(records)
            while True:
                rows = _write_tar(part / f"{shard:05d}.tar", stream, shard_bytes)
                if not rows:
                    break
                keys, splits, offsets, sizes, targets = zip(*rows, strict=True)
                images = pa.table({"id": keys, "split": splits, "offset": offsets, "size": sizes})
                flat = np.array([target for each in targets for target in each], np.int32)
                lists = class_lists(flat, np.array([len(each) for each in targets]))
                index.add(shard, np.ones(len(rows), bool), images, {"targets": lists})
                shard, count = shard + 1, count + len(rows)
        write_checksums(part, {})
    return count


def _write_tar(path: Path, records: Iterator[tuple], shard_bytes: int) -> list[tuple]:
    """Fills one tar; (id, split, offset, size, targets) of its images, none if no record was
    left.
    """
    rows: list[tuple] = []
    for key, split, data, targets in records:
        if not rows:
            tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed below)
        rows.append((key, split, add_member(tar, f"{len(rows):08d}.jpg", data), len(data), targets))
        if tar.offset >= shard_bytes:
            break
    if rows:
        tar.close()
    return rows
