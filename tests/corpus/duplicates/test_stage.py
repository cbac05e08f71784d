"""Duplicate videos through the stage corpus: posts of a post, and of a labelled set."""

import pyarrow.parquet as pq
import pytest

from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.store.write import write_store
from tests.corpus.duplicates.filmed import COPIES, RATE, Film, encoded, film
from tests.support.corpora import build_with

OPTIONS = {"size": 32, "frame_rate": RATE, "min_posts": 1, "max_tags": 5, "holdout": 0.0}
# posts that repeat another post, how, and which; and one that repeats a labelled video
OF_POSTS = {6: ("with a logo", 0), 7: ("mirrored", 1), 8: ("without the first two seconds", 2)}
OF_TARGETS = {9: ("encoded at a low quality", 3)}


def labelled(number: int) -> Film:
    return film(100 + number)


def posted(number: int) -> bytes:
    for copies, original in ((OF_POSTS, film), (OF_TARGETS, labelled)):
        if number in copies:
            kind, of = copies[number]
            return COPIES[kind](original(of))
    return encoded(film(number))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = tmp_path_factory.mktemp("videos") / "data"
    posts, clips = [], []
    for i in range(10):
        tags = ["#sea", "#dog"][: 1 + i % 2]
        posts.append((Post(id=f"p{i}", image=f"p{i}.mp4", hashtags=tags), posted(i)))
    for i in range(6):
        clips.append(
            (Label(id=f"l{i}", image=f"l{i}.mp4", label="ab"[i % 2]), encoded(labelled(i)))
        )
    write_store(data / "posts", posts, kind="video_posts")
    write_store(data / "targets" / "films", clips, kind="clips")
    return data


@pytest.mark.parametrize("policy", ["drop", "flag", "ignore"])
def test_copies_are_listed_and_dropped_flagged_or_ignored(data, tmp_path, policy):
    out = tmp_path / "out"
    build_with(data, out, data.parent / "cache", **OPTIONS, duplicates=policy)
    rows = pq.read_table(out / "duplicates.parquet").to_pylist()
    pairs = {(row["id_a"], row["store_b"], row["id_b"], row["kind"]) for row in rows}
    how = {"mirrored": "mirrored"}
    wanted = {
        (f"p{of}", "hashtags", f"p{i}", how.get(k, "near")) for i, (k, of) in OF_POSTS.items()
    }
    wanted |= {(f"p{i}", "targets/films", f"l{of}", "near") for i, (_, of) in OF_TARGETS.items()}
    assert pairs == (set() if policy == "ignore" else wanted)
    assert {row["dropped"] for row in rows} <= {policy == "drop"}
    gone = {f"p{i}" for i in (*OF_POSTS, *OF_TARGETS)} if policy == "drop" else set()
    kept = set(pq.read_table(out / "hashtags" / "index.parquet")["id"].to_pylist())
    assert kept == {f"p{i}" for i in range(10)} - gone
