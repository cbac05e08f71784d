"""Posts with drawn hashtags, and in plain Python what should come of them."""

import random

import pyarrow as pa

from corpus.hashtags.normal import normalise

MEANING = {"hund": ("dog",), "reddog": ("red", "dog"), "love": (), "dogdog": ("dog", "dog")}
WORDS = ["Dog", "dog", "#DOG!", "hund", "Red_Dog", "red", "dogdog", "LOVE", "cat", "oak"]
WORDS += ["oak\U0001f305", "海", "2024", "a", "", None]
USERS = ["bot", "bot", "bot", "ann", "bob", "", None]
SCHEMA = pa.schema({"id": pa.string(), "user": pa.string(), "hashtags": pa.list_(pa.string())})


def names_of(form: str) -> tuple[str, ...]:
    return MEANING.get(form, (form,))


def drawn(seed: int, posts: int = 400) -> list[dict]:
    rng = random.Random(seed)
    weights = range(1, len(WORDS) + 1)
    rows = []
    for i in range(posts):
        user = rng.choice(USERS)
        untagged = rng.random() < 0.1
        tags = None if untagged else rng.choices(WORDS, weights, k=rng.randrange(7))
        rows.append({"id": f"p{i}", "user": user, "hashtags": tags})
    return rows


def batches(posts: list[dict], rows: int = 64) -> list[pa.RecordBatch]:
    starts = range(0, len(posts), rows)
    return [pa.RecordBatch.from_pylist(posts[i : i + rows], SCHEMA) for i in starts]


def forms(post: dict) -> set[str]:
    found = {normalise(tag) for tag in post["hashtags"] or () if tag}
    return found - {None}


def plain_names(posts: list[dict]) -> list[set[str]]:
    named = []
    for post in posts:
        named.append({name for form in forms(post) for name in names_of(form)})
    return named
