"""Our side of the metadata job does what plain Python does: vocabulary, classes, repeat factors."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import scale_sides
from corpus.reading.resampling import class_factors
from tests.support.tagged import batches, drawn, names_of, plain_names


@pytest.mark.parametrize("seed", range(3))
def test_vocabulary_and_index_equal_plain_python(seed, tmp_path):
    posts = drawn(seed)
    source = tmp_path / "posts.parquet"
    pq.write_table(pa.Table.from_batches(batches(posts)), source, row_group_size=150)
    scale_sides.tagdag(SimpleNamespace(names=names_of), source, tmp_path)

    every = plain_names(posts)
    posts_of = Counter(name for names in every for name in names)
    enough = [name for name, n in posts_of.items() if n >= scale_sides.MIN_POSTS]
    classes = sorted(enough, key=lambda name: (-posts_of[name], name))
    vocabulary = pq.read_table(tmp_path / "vocabulary.parquet").to_pylist()
    assert vocabulary == [{"name": name, "posts": posts_of[name]} for name in classes]

    number = {name: place for place, name in enumerate(classes)}
    targets = [sorted(map(number.get, names & number.keys())) for names in every]
    with_class = [row for row, found in enumerate(targets) if found]
    index = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert [row["row"] for row in index] == with_class
    assert [row["id"] for row in index] == [posts[row]["id"] for row in with_class]
    assert [row["targets"] for row in index] == [targets[row] for row in with_class]

    # the classes are in the order of their posts: the last is the rarest
    rarest = [targets[row][-1] for row in with_class]
    counts = [posts_of[name] for name in classes]
    images = np.bincount(rarest, minlength=len(classes))
    length = scale_sides.LENGTH * len(with_class)
    factors = class_factors(counts, images, scale_sides.RULE, length)
    assert [row["repeats"] for row in index] == factors[rarest].tolist()
    assert sum(row["repeats"] for row in index) == pytest.approx(length, rel=1e-5)
