"""Tags read shard by shard make the table that one pass over all posts makes."""

import numpy as np

from corpus.kinds.posts import Post
from corpus.spread import in_turn
from corpus.store.read import shards_of
from corpus.store.write import write_store
from corpus.tags.joining import tags_of
from corpus.tags.table import TagTable
from corpus.tags.tagging import batches

NUMBERS = ("posts", "typed", "kept", "too_long", "unusable", "listed", "cased")
FILES = ("forms.i32", "sizes.i32", "users.u64")


def posts():
    rng = np.random.default_rng(0)
    for i in range(400):
        # later posts bring tags of their own, so that shards number the same forms otherwise
        tags = [f"tag{n}" for n in rng.integers(i // 8, 30 + i // 4, rng.integers(0, 6)).tolist()]
        odd = {3: ["#GoldenHour", "!!"], 390: ["GOLDENHour", "??"], 200: ["spam"] * 40}
        user = f"user{i % 7}" if i % 3 else None
        yield Post(id=f"p{i}", image=f"p{i}", hashtags=odd.get(i, tags), user=user), b"x" * 3000


def test_shards_joined_are_the_table_of_one_pass(tmp_path):
    write_store(tmp_path / "posts", posts(), shard_bytes=200_000)
    shards = shards_of(tmp_path / "posts")
    assert len(shards) > 3
    whole = TagTable.build(batches(tmp_path / "posts"), tmp_path / "whole", max_tags_per_post=30)
    told = []
    (tmp_path / "joined").mkdir()
    joined = tags_of(
        tmp_path / "posts", shards, tmp_path / "joined", in_turn, lambda *far: told.append(far), 30
    )
    assert told[-1] == (400, None, "hashtags")
    for name in NUMBERS:
        assert getattr(joined, name) == getattr(whole, name), name
    assert joined.too_long == 1 and joined.cased and joined.unusable
    assert joined.forms.equals(whole.forms)
    np.testing.assert_array_equal(joined.counts, whole.counts)
    for name in FILES:
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in (tmp_path / "joined").iterdir()} == set(FILES)
