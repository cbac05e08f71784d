"""Pretend users of a photo community, for posts that are drawn: who they are, how they tag."""

from bisect import bisect
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np

_WORDS = """
    love instagood tbt photooftheday nofilter picoftheday happy followme instadaily like4like art
    photography beautiful cute fun style repost amazing mood weekend friends goodvibes igers
    throwbackthursday followforfollow blessed
"""
OFF_TOPIC = _WORDS.split()  # the most usual one first
USER = 0  # random stream of a user; others are of what draws
Item = TypeVar("Item")


class User(NamedTuple):
    """A pretend user: `language` is a place in a list of five, `favourites` are off-topic tags."""

    name: str
    language: int
    verbosity: float
    favourites: list[str]


def stream(*key: int) -> np.random.Generator:
    """A generator for one image, post or user: none depends on how many others are drawn."""
    return np.random.Generator(np.random.PCG64(key))


@cache
def cumulated(length: int, shift: int) -> list[float]:
    """The sums of 1 / (k + shift) over the first k = 1 ... `length`."""
    return list(accumulate(1 / (rank + shift) for rank in range(1, length + 1)))


def zipf(rng: np.random.Generator, items: Sequence[Item], shift: int = 0) -> Item:
    """One item, the k-th with weight 1 / (k + shift)."""
    weights = cumulated(len(items), shift)
    return items[bisect(weights, rng.random() * weights[-1])]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def user_of(seed: int, number: int) -> User:
    """A person with a language (half of them English), a verbosity, three off-topic tags."""
    rng = stream(seed, USER, number)
    language = bisect((0.5, 0.65, 0.78, 0.9), rng.random())
    return User(
        f"user{number:05d}",
        language,
        between(rng, 0.7, 1.25),
        rng.permutation(OFF_TOPIC)[:3].tolist(),
    )
