"""Tags of many posts: equal to plain Python, whatever the order and the batches, in memory that
does not grow.
"""

import itertools
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus.hashtags.normal import normalise
from corpus.tags import counts as tagcounts
from corpus.tags import table as tagtable
from corpus.tags.counts import count_names, statistics
from corpus.tags.names import Names
from corpus.tags.table import TagTable
from corpus.tags.vocabulary import choose_classes
from tests.support.tagged import batches, drawn, forms, names_of, plain_names


def of_table(table: TagTable) -> Names:
    return Names.of(map(names_of, table.forms.to_pylist()))


def counted(names: Names, counts: np.ndarray) -> dict[str, int]:
    return {name: n for name, n in zip(names.names.to_pylist(), counts.tolist(), strict=True) if n}


@pytest.fixture(params=[1 << 20, 50], ids=["one piece", "pieces of 50 tags"])
def piece(request, monkeypatch):
    monkeypatch.setattr(tagtable, "PIECE", request.param)
    monkeypatch.setattr(tagcounts, "PART", request.param)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rows", [1, 64, 1000])
def test_counts_and_names_equal_plain_python(seed, rows, piece, tmp_path):
    posts = drawn(seed)
    table = TagTable.build(batches(posts, rows), tmp_path)
    assert dict(zip(table.forms.to_pylist(), table.counts.tolist(), strict=True)) == Counter(
        form for post in posts for form in forms(post)
    )
    typed = [tag for post in posts for tag in post["hashtags"] or ()]
    assert (table.posts, table.typed) == (len(posts), len(typed))
    assert table.kept == sum(len(forms(post)) for post in posts)
    assert table.unusable["null"] == typed.count(None)
    assert table.unusable.total() == sum(not tag or normalise(tag) is None for tag in typed)
    names, wanted = of_table(table), plain_names(posts)
    assert counted(names, count_names(table, names)) == Counter(
        name for some in wanted for name in some
    )
    spelled, first = names.names.to_pylist(), 0
    for start, ids, ends in names.per_post(table):
        assert start == first
        for some in np.split(ids, ends[:-1]):
            assert {spelled[i] for i in some} == wanted[first] and (np.diff(some) > 0).all()
            first += 1
    assert first == len(posts)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cap", [1, 3, 1000])
def test_a_user_counts_up_to_the_cap(seed, cap, piece, tmp_path):
    posts = drawn(seed)
    table = TagTable.build(batches(posts), tmp_path)
    names, by_user, expected = of_table(table), Counter(), Counter()
    for post, some in zip(posts, plain_names(posts), strict=True):
        for name in some:
            if not post["user"]:
                expected[name] += 1
            elif by_user[post["user"], name] < cap:
                by_user[post["user"], name] += 1
                expected[name] += 1
    assert counted(names, count_names(table, names, cap)) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "forms.i32",
        "sizes.i32",
        "users.u64",
    ]
    with pytest.raises(ValueError, match="at least 1"):
        count_names(table, names, 0)


def test_the_order_of_posts_changes_no_count_and_batches_change_no_byte(tmp_path):
    posts = drawn(7)
    tables = {
        rows: TagTable.build(batches(posts, rows), tmp_path / str(rows)) for rows in (1, 37, 400)
    }
    for file in ("forms.i32", "sizes.i32", "users.u64"):
        assert len({(tmp_path / str(rows) / file).read_bytes() for rows in tables}) == 1
    assert len({tuple(table.forms.to_pylist()) for table in tables.values()}) == 1
    mixed = TagTable.build(batches(random.Random(0).sample(posts, len(posts))), tmp_path / "mixed")
    first, second = (
        choose_classes(names.names, count_names(table, names), min_posts=1)[:2]
        for table in (tables[37], mixed)
        for names in [of_table(table)]
    )
    assert first == second


def coded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its tags as a dictionary's codes, as Parquet files have them."""
    tags = batch["hashtags"]
    codes = tags.values.dictionary_encode()
    lists = pa.ListArray.from_arrays(tags.offsets, codes, mask=tags.is_null())
    columns = [batch["id"], batch["user"], lists]
    return pa.RecordBatch.from_arrays(columns, ["id", "user", "hashtags"])


def test_dictionary_codes_and_unknown_users_read_the_same(tmp_path):
    posts = drawn(3)
    read = TagTable.build(map(coded, batches(posts)), tmp_path / "read")
    direct = TagTable.build(batches(posts), tmp_path / "direct")
    assert read.counts.sum() == direct.counts.sum() and (read.users() == direct.users()).all()
    assert dict(zip(read.forms.to_pylist(), read.counts, strict=True)) == dict(
        zip(direct.forms.to_pylist(), direct.counts, strict=True)
    )
    alone = TagTable.build(
        [batch.select(["id", "hashtags"]) for batch in batches(posts)], tmp_path / "alone"
    )
    assert not alone.users().any()
    names = of_table(alone)
    assert (count_names(alone, names, 1) == count_names(alone, names)).all()
    assert statistics(alone, names).users is None
    with pytest.raises(ValueError, match="holds string, not lists"):
        TagTable.build(
            [pa.RecordBatch.from_pydict({"id": ["a"], "hashtags": ["dog cat"]})], tmp_path / "wrong"
        )
    with pytest.raises(ValueError, match="no column hashtags, only id"):
        TagTable.build([batches(posts)[0].select(["id"])], tmp_path / "wrong")


def test_a_post_of_ten_thousand_tags_is_cut_and_listed(tmp_path):
    tags = [f"tag{i}" for i in range(10_000)]
    posts = [
        {"id": "a", "hashtags": tags[:3]},
        {"id": "spam", "hashtags": tags},
        {"id": "b", "hashtags": tags[-2:]},
    ]
    table = TagTable.build(batches(posts), tmp_path, max_tags_per_post=30)
    assert (table.too_long, table.listed) == (1, [("spam", 10_000)])
    [(_, _, sizes)] = table.blocks()
    assert sizes.tolist() == [3, 30, 2] and table.typed == 10_005
    assert table.forms.to_pylist() == tags[:30] + tags[-2:]


def test_a_spelling_with_inner_capitals_is_kept_per_form(tmp_path):
    tags = [
        "goldenhour",
        "GoldenHour",
        "GOLDENHOUR",
        "goldenHour",
        "Golden",
        "#Red_Dog",
        "reddog",
        "#Red",
        "2024",
    ]
    for i, order in enumerate((tags, tags[::-1])):
        table = TagTable.build(
            batches([{"id": tag, "hashtags": [tag]} for tag in order]), tmp_path / str(i)
        )
        assert table.cased == {"goldenhour": "GoldenHour", "reddog": "#Red_Dog"}


def test_no_posts(tmp_path):
    table = TagTable.build([], tmp_path)
    names = of_table(table)
    assert (
        table.posts == 0
        and len(count_names(table, names)) == 0
        and len(count_names(table, names, 1)) == 0
    )
    with pytest.raises(ValueError, match="lower min_posts"):
        choose_classes(names.names, count_names(table, names))


@pytest.mark.parametrize("seed", range(3))
def test_statistics_equal_plain_python(seed, piece, tmp_path):
    posts = drawn(seed)
    table = TagTable.build(batches(posts), tmp_path)
    names = of_table(table)
    vocabulary = choose_classes(names.names, count_names(table, names), min_posts=20, max_size=4)
    classes, number = (
        names.only(vocabulary.ids),
        {name: i for i, name in enumerate(vocabulary.names)},
    )
    wanted = []
    for some in plain_names(posts):
        wanted.append(sorted(number[name] for name in some if name in number))
    found = statistics(table, classes, top=3)
    assert found.counts.tolist() == vocabulary.counts
    assert found.tags_per_post.tolist() == np.bincount([len(some) for some in wanted]).tolist()
    for a, b in itertools.product(range(3), range(3)):
        together = sum(a in some and b in some for some in wanted)
        assert found.cooccurrence[a, b] == together
    users = sorted(Counter(post["user"] for post in posts if post["user"]).values(), reverse=True)
    assert found.users.posts.tolist() == users and found.users.ranks.tolist() == [1, 2, 3]
    assert found.users.number == 3 and found.users.top_share == pytest.approx(users[0] / sum(users))


def test_the_forms_of_a_name(tmp_path):
    table = TagTable.build(batches(drawn(0)), tmp_path)
    names = of_table(table)
    dog = names.names.to_pylist().index("dog")
    assert {table.forms[int(i)].as_py() for i in names.forms(dog)} == {
        "dog",
        "hund",
        "reddog",
        "dogdog",
    }


PEAK = """
import sys, tempfile
from pathlib import Path
import numpy as np, pyarrow as pa
from corpus.tags.counts import count_names, statistics
from corpus.tags.names import Names
from corpus.tags.table import TagTable

def batches(rows, rng=np.random.default_rng(0)):
    tags = pa.array([f"tag{i}" for i in range(3000)])
    for first in range(0, rows, 20_000):
        flat = tags.take(pa.array(rng.integers(0, 3000, 200_000)))
        lists = pa.ListArray.from_arrays(pa.array(np.arange(0, 200_001, 10, dtype=np.int32)), flat)
        users = pa.array(rng.integers(0, 500, 20_000)).cast(pa.string())
        yield pa.RecordBatch.from_arrays([users, users, lists], ["id", "user", "hashtags"])

def job(rows):
    with tempfile.TemporaryDirectory() as folder:
        table = TagTable.build(batches(rows), Path(folder))
        names = Names.of((form,) for form in table.forms.to_pylist())
        count_names(table, names, 5), statistics(table, names)
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

print(job(200_000), job(1_000_000))
"""


def test_memory_does_not_grow_with_the_posts():
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", PEAK], cwd=root, capture_output=True, text=True, check=True
    )
    few, many = map(int, run.stdout.split())  # kibibytes
    assert many - few < 60 << 10, (
        few,
        many,
    )  # 8 million more tags: held, their ids alone would be 64 MB more
