"""Training shards: what goes in comes out, at any index, from any process, in equal bytes."""

import json
import mmap
import os
import pickle
import tarfile
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from threading import Barrier

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from corpus.media.decoding import decode
from corpus.reading.index import INDEX
from corpus.reading.shards import Shards
from tests.support.shards import write_shards

NAMES = ["sea", "dog", "海"]
TARGETS = [[0], [0, 2], [1], [1, 2], [2]]


def records(n: int = 50):
    rng = np.random.default_rng(0)
    for i in range(n):
        out = BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(out, "JPEG")
        yield f"id.{i}", "val" if i % 5 == 4 else "train", out.getvalue(), TARGETS[i % 5]


@pytest.fixture
def folder(tmp_path):
    assert write_shards(tmp_path / "shards", records(), NAMES, size=8, shard_bytes=20_000) == 50
    return tmp_path / "shards"


@pytest.mark.parametrize(
    "options", [{}, {"cache_mb": 0}, {"threads": 2}, {"cache_mb": 0, "threads": 2}]
)
def test_pixels_are_those_of_the_records(folder, options):
    shards = Shards(folder, "train", **options)
    kept = [record for record in records() if record[1] == "train"]
    assert len(shards) == 40 and list(shards.ids) == [record[0] for record in kept]
    expected = torch.from_numpy(np.stack([decode(data) for _, _, data, _ in kept]))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for indices in (order[:7], order, [3, 3, 0], np.array([39]), []):
        pixels = shards.images(indices)
        assert pixels.dtype == torch.uint8 and torch.equal(
            pixels, expected[torch.as_tensor(indices).long()]
        )
    copy = pickle.loads(pickle.dumps(shards))
    assert torch.equal(copy.images(order), expected[order]) and len(pickle.dumps(shards)) < 10_000


def test_a_batch_may_be_changed_without_harm_to_the_cache(folder):
    shards = Shards(folder, "train")
    first = shards.images([0, 1])
    before = first.clone()
    first.zero_()
    assert torch.equal(shards.images([0, 1]), before)


def test_the_cache_is_bounded_and_really_read(folder):
    cached, uncached = Shards(folder, "train", cache_mb=1), Shards(folder, "train", cache_mb=0)
    for shards in (cached, uncached):
        shards.images(range(40))
        shards._where[1] = np.zeros(40, np.int64)  # from now on a read from disk finds a tar header
    cached.images(range(40))
    with pytest.raises(ValueError, match=r"image 'id.0' .* is damaged"):
        uncached.images([0])


def test_targets(folder):
    shards = Shards(folder, "train")
    assert (shards.names, shards.size) == (NAMES, 8)
    assert [t.tolist() for t in shards.targets] == [
        record[3] for record in records() if record[1] == "train"
    ]
    hot = shards.multi_hot([0, 1, 6, 6])
    assert hot.dtype == torch.float32 and hot.tolist() == [
        [1, 0, 0],
        [1, 0, 1],
        [0, 1, 0],
        [0, 1, 0],
    ]
    assert shards.multi_hot(torch.arange(40)).sum() == sum(map(len, shards.targets))
    with pytest.raises(ValueError, match="use multi_hot"):
        shards.labels([0])
    labels = Shards(folder, "val").labels(torch.tensor([9, 0]))
    assert labels.dtype == torch.int64 and labels.tolist() == [2, 2]


def test_bytes_are_equal_and_tars_readable_by_others(folder, tmp_path):
    write_shards(tmp_path / "again", records(), NAMES, size=8, shard_bytes=20_000)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) > 2
    assert all(
        (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names
    )
    with tarfile.open(folder / "00001.tar") as tar:
        member = tar.getmembers()[0]
        assert member.name.count(".") == 1 and member.name.endswith(".jpg")
        assert decode(tar.extractfile(member).read()).shape == (8, 8, 3)


def test_missing_things_are_named(folder):
    with pytest.raises(ValueError, match="no split 'test', only train, val"):
        Shards(folder, "test")
    shards = Shards(folder, "train")
    (folder / "00000.tar").unlink()
    with pytest.raises(ValueError, match=r"00000.tar cannot be read .*dvc checkout"):
        shards.images([0])
    (folder / "index.parquet").unlink()
    with pytest.raises(ValueError, match=r"index.parquet is missing; .*dvc checkout"):
        Shards(folder, "train")


def test_what_the_reader_does_not_know_is_ignored(folder):
    """Images in a tar that the index does not list, columns and notes that a later writer adds."""
    expected = Shards(folder, "train").images(range(40))
    index = pq.read_table(folder / "index.parquet")
    some = index.take(list(range(0, 50, 2)))
    notes = index.schema.metadata | {b"more": b"yes"}
    pq.write_table(
        some.append_column("user", pa.array(["u"] * 25)).replace_schema_metadata(notes),
        folder / INDEX,
    )
    shards = Shards(folder, "train")
    rows = [i for i in range(50) if i % 5 != 4]
    assert list(shards.ids) == [f"id.{i}" for i in rows if i % 2 == 0]
    assert torch.equal(shards.images(range(20)), expected[[r % 2 == 0 for r in rows]])


def test_columns_are_sequences_that_cut_out_what_is_asked_for(folder):
    shards = Shards(folder, "val")
    assert (
        len(shards.ids) == 10
        and shards.ids[0] == "id.4"
        and shards.ids[-1] == "id.49"
        and "id.9" in shards.ids
    )
    assert (
        len(shards.targets) == 10
        and shards.targets[-1].tolist() == [2]
        and shards.targets.width == 1
    )
    assert shards.targets[0].dtype == np.int64
    with pytest.raises(IndexError):
        shards.targets[10]
    train = Shards(folder, "train").targets
    assert train.width is None and len(train.flat) == train.offsets[-1] == sum(map(len, train))
    at, classes = train.of(np.array([3, 0, 1]))
    assert (at.tolist(), classes.tolist()) == ([0, 0, 1, 2, 2], [1, 2, 0, 0, 2])
    assert [part.tolist() for part in train.of(np.array([], np.int64))] == [[], []]


def test_a_forked_worker_reads_too(folder):
    INHERITED[0] = shards = Shards(folder, "train", cache_mb=0, threads=2)
    expected, both = shards.images(range(40)), Barrier(2)
    list(
        shards._pool.map(lambda _: both.wait(10), range(2))
    )  # both threads run, and are missing in a child
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        found = list(pool.map(_inherited, np.arange(40).reshape(4, 10), timeout=60))
    assert np.array_equal(np.concatenate(found), expected.numpy())


INHERITED: dict[int, Shards] = {}


def _inherited(indices: np.ndarray) -> np.ndarray:
    return INHERITED[0].images(indices).numpy()


def test_files_larger_than_memory_are_asked_for_ahead(folder, monkeypatch):
    asked = []

    class Map(mmap.mmap):
        def madvise(self, option, start, length):
            assert (
                option == mmap.MADV_WILLNEED
                and start % mmap.PAGESIZE == 0
                and start + length <= len(self)
            )
            asked.append(length)
            return super().madvise(option, start, length)

    expected = Shards(folder, "train").images(range(40))
    monkeypatch.setattr("mmap.mmap", Map)
    assert (
        torch.equal(Shards(folder, "train", cache_mb=0).images(range(40)), expected) and not asked
    )
    monkeypatch.setattr("corpus.reading.shards.MEMORY", 1000)
    assert (
        torch.equal(Shards(folder, "train", cache_mb=0).images(range(40)), expected)
        and len(asked) == 40
    )


def test_no_more_files_are_open_than_allowed(folder, monkeypatch):
    expected = Shards(folder, "train").images(range(40))
    monkeypatch.setattr("corpus.reading.shards.MAPS", 1)
    shards = Shards(folder, "train", cache_mb=0)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a count)
    for index in torch.randperm(40, generator=torch.Generator().manual_seed(0)):
        assert torch.equal(shards.images([index])[0], expected[index])
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
    assert len(list(folder.glob("*.tar"))) > 2


def test_memory_is_that_of_places_and_targets(tmp_path):
    """A million images cost less than 40 MB: two targets each (8 bytes), their places (16) and
    offsets (8).
    """
    n = 1_000_000
    table = {"id": [f"a rather long name of image {i}" for i in range(n)], "split": ["train"] * n}
    table |= {"shard": np.zeros(n, np.int32), "offset": np.arange(n), "size": np.ones(n, np.int32)}
    flat = pa.array(np.tile(np.array([0, 2], np.int32), n))
    table["targets"] = pa.ListArray.from_arrays(np.arange(0, 2 * n + 1, 2, dtype=np.int32), flat)
    notes = {"tagdag": json.dumps({"names": NAMES, "size": 8})}
    pq.write_table(pa.table(table).replace_schema_metadata(notes), tmp_path / INDEX)
    del table, flat
    shards = Shards(tmp_path, "train")
    held = sum(a.nbytes for a in (shards.targets.flat, shards.targets.offsets, *shards._where))
    assert held < 40 << 20 and "ids" not in vars(shards)
    assert (
        shards.multi_hot([0, n - 1]).tolist() == [[1, 0, 1]] * 2
        and len(pickle.dumps(shards)) < 1000
    )
    assert shards.ids[n - 1].endswith(" 999999")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / INDEX).write_bytes(b"no parquet at all"), "index.parquet is damaged"),
        (
            lambda f: pq.write_table(pq.read_table(f / INDEX).drop(["size"]), f / INDEX),
            "index.parquet is damaged .*size",
        ),
        (
            lambda f: pq.write_table(pq.read_table(f / INDEX).replace_schema_metadata(), f / INDEX),
            "index.parquet is damaged .*tagdag",
        ),
        (lambda f: (f / "00000.tar").write_bytes(b""), "00000.tar is empty"),
        (
            lambda f: (f / "00000.tar").write_bytes((f / "00000.tar").read_bytes()[:700]),
            "'id.0' .* is damaged",
        ),
        (
            lambda f: (f / "00000.tar").write_bytes(_smaller(f)),
            r"'id.0' .* is damaged \(\(4, 4, 3\)\)",
        ),
    ],
)
def test_damage_is_named(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=f"{message}.*dvc checkout"):
        Shards(folder, "train").images([0])


def _smaller(folder) -> bytes:
    """The first tar with an image of 4 x 4 pixels where its first was."""
    out = BytesIO()
    Image.new("RGB", (4, 4)).save(out, "JPEG")
    tar = (folder / "00000.tar").read_bytes()
    return tar[:512] + out.getvalue() + tar[512 + len(out.getvalue()) :]
