"""Training shards: what goes in comes out, at any index, from any process, in equal bytes."""

import pickle
import tarfile
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.images import decode
from corpus.shards import Shards, write_shards

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


@pytest.mark.parametrize("options", [{}, {"cache_mb": 0}, {"threads": 2}, {"cache_mb": 0, "threads": 2}])
def test_pixels_are_those_of_the_records(folder, options):
    shards = Shards(folder, "train", **options)
    kept = [record for record in records() if record[1] == "train"]
    assert len(shards) == 40 and shards.ids == [record[0] for record in kept]
    expected = torch.from_numpy(np.stack([decode(data) for _, _, data, _ in kept]))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for indices in (order[:7], order, [3, 3, 0], np.array([39]), []):
        pixels = shards.images(indices)
        assert pixels.dtype == torch.uint8 and torch.equal(pixels, expected[torch.as_tensor(indices).long()])
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
        shards._where[:, 1] = 0  # from now on a read from disk finds a tar header
    cached.images(range(40))
    with pytest.raises(ValueError, match=r"image 'id.0' .* is damaged"):
        uncached.images([0])


def test_targets(folder):
    shards = Shards(folder, "train")
    assert (shards.names, shards.size) == (NAMES, 8)
    assert [t.tolist() for t in shards.targets] == [record[3] for record in records() if record[1] == "train"]
    hot = shards.multi_hot([0, 1, 6, 6])
    assert hot.dtype == torch.float32 and hot.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 0]]
    assert shards.multi_hot(torch.arange(40)).sum() == sum(map(len, shards.targets))
    with pytest.raises(ValueError, match="use multi_hot"):
        shards.labels([0])
    labels = Shards(folder, "val").labels(torch.tensor([9, 0]))
    assert labels.dtype == torch.int64 and labels.tolist() == [2, 2]


def test_bytes_are_equal_and_tars_readable_by_others(folder, tmp_path):
    write_shards(tmp_path / "again", records(), NAMES, size=8, shard_bytes=20_000)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) > 2
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
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
