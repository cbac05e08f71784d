"""All pairs of codes that differ in few bits, without comparing every pair.

Pigeonhole, as in multi-index hashing (Norouzi, Punjani, Fleet 2012, "Fast Search in Hamming Space
with Multi-Index Hashing", arXiv 1307.2982): cut a code into radius + k blocks; two codes within the
radius agree in at least k of them. So for every choice of k blocks the codes are sorted by those,
and compared where they are equal. Nothing is missed but where more codes than `crowd` agree: then
each is compared with so many of them only, and the report says so.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

# of 128 bits: JPEG of quality 20 and half the size stay below; of 450 million unlike pairs one has
# 20
RADIUS = 12
CROWD = 256  # codes that agree by chance in the chosen blocks are kept below an eighth of a crowd
PENDING = 1 << 20  # pairs found again and again, before repetitions are dropped
SORTED = 12  # comparisons that take as long as sorting one code
ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)


class Near(NamedTuple):
    """Pairs (m, 2) and the bits in which they differ (m,).

    Equal codes beyond a crowd, and comparisons left out.

    `crowds` is (c, 2): the first index that has a code of more than CROWD images, and their number;
    such images pair with the first of them only. `skipped` counts the comparisons left out among
    codes that are alike, but not equal.
    """

    pairs: np.ndarray
    distances: np.ndarray
    crowds: np.ndarray
    skipped: int


class _Runs(NamedTuple):
    """Codes without repetition, uint64 (u, words), and who has them: order[starts[i] : starts[i]
    + sizes[i]].
    """

    codes: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


def near(a: np.ndarray, b: np.ndarray | None = None, radius: int = RADIUS) -> Near:
    """Pairs within one set of codes, uint64 (n, words), i < j, or between two, that differ in at
    most `radius` bits.
    """
    left = _runs(a)
    right = left if b is None else _runs(b)
    pairs, skipped = _alike(left.codes, None if b is None else right.codes, radius)
    if b is None:
        repeated = np.flatnonzero(left.sizes > 1)
        pairs = np.concatenate([pairs, np.stack([repeated, repeated], 1)])
    pairs = _unpacked(np.unique(_packed(*_members(left, right, pairs), same=b is None)))
    distances = np.bitwise_count(a[pairs[:, 0]] ^ (a if b is None else b)[pairs[:, 1]]).sum(
        1, dtype=np.int64
    )
    large = left.sizes > CROWD
    return Near(
        pairs, distances, np.stack([left.order[left.starts[large]], left.sizes[large]], 1), skipped
    )


def _runs(codes: np.ndarray) -> _Runs:
    order = np.lexsort(codes.T)
    codes = codes[order]
    new = np.ones(len(codes), bool)
    new[1:] = (codes[1:] != codes[:-1]).any(1)
    starts = np.flatnonzero(new)
    return _Runs(codes[starts], order, starts, np.diff(starts, append=len(codes)))


def _packed(i: np.ndarray, j: np.ndarray, same: bool) -> np.ndarray:
    """Pairs as one uint64 each, which sort by i, then by j.

    Within the same set the smaller index is i, and i != j.
    """
    if same:
        i, j = np.minimum(i, j)[i != j], np.maximum(i, j)[i != j]
    return (i.astype(np.uint64) << np.uint64(32)) | j.astype(np.uint64)


def _unpacked(pairs: np.ndarray) -> np.ndarray:
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], 1).astype(np.int64)


def _members(left: _Runs, right: _Runs, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of codes become pairs of images: all, or where those are more than CROWD, each with
    the first other one.
    """
    (i, j), found = pairs.T, []
    products = left.sizes[i] * right.sizes[j]
    few = products <= CROWD
    row, place = expand(products[few])
    down, across = np.divmod(place, right.sizes[j[few]][row])
    found.append((left.starts[i[few]][row] + down, right.starts[j[few]][row] + across))
    i, j = i[~few], j[~few]
    row, place = expand(left.sizes[i])
    found.append((left.starts[i][row] + place, right.starts[j][row]))
    row, place = expand(right.sizes[j] - 1)
    found.append((left.starts[i][row], right.starts[j][row] + place + 1))
    at_left, at_right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return left.order[at_left], right.order[at_right]


def expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[2, 0, 3] -> [0, 0, 2, 2, 2] and [0, 1, 0, 1, 2]."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)


def _plan(bits: int, n: int, m: int, radius: int) -> tuple[int, float]:
    """(k, codes that agree by chance in k of radius + k blocks): the k of the least work for n
    codes against m.
    """

    def work(k: int) -> tuple[float, float]:
        alike = n / 2 ** (bits * k / (radius + k))
        return comb(radius + k, k) * (SORTED * (n + m) + m * alike), alike

    assert 0 <= radius < bits // 2, radius
    best = min(range(1, 5), key=lambda k: work(k)[0])
    return best, work(best)[1]


def _masks(words: int, blocks: int, agree: int) -> Iterator[np.ndarray]:
    """uint64 (words,) with the bits of `agree` of the blocks set.

    A block takes every so-many-th bit.
    """
    block = np.arange(64 * words) % blocks
    for chosen in combinations(range(blocks), agree):
        yield np.packbits(np.isin(block, chosen)).view(np.uint64)


def _sorted(
    words: list[np.ndarray], mask: np.ndarray, low: np.uint64
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the masked codes in order, and whose they are.

    Equal codes have equal keys, others hardly ever.

    Key and index share one word, with `low` bits for the index: that sorts faster than an argsort.
    """
    keys = sum((word & bits) * odd for word, bits, odd in zip(words, mask, ODD, strict=False))
    keys = (keys ^ (keys >> np.uint64(32))) * ODD[0]
    packed = (keys >> low << low) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    return packed >> low, (packed & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)


def _alike(a: np.ndarray, b: np.ndarray | None, radius: int) -> tuple[np.ndarray, int]:
    """Pairs (m, 2) of unrepeated codes within the radius, and the number of comparisons left
    out.
    """
    words_a = list(np.ascontiguousarray(a.T))
    words_b = words_a if b is None else list(np.ascontiguousarray(b.T))
    agree, chance = _plan(64 * len(words_a), len(a), len(words_b[0]), radius)
    crowd, found, pending, skipped = max(CROWD, int(8 * chance)), np.empty(0, np.uint64), [], 0
    low = np.uint64(max(len(a), len(words_b[0])).bit_length())
    for mask in _masks(len(words_a), radius + agree, agree):
        keys, order = _sorted(words_a, mask, low)
        keys_b, order_b = (keys, order) if b is None else _sorted(words_b, mask, low)
        start = np.arange(1, len(a) + 1) if b is None else np.searchsorted(keys, keys_b)
        sides = [word[order] for word in words_a], [word[order_b] for word in words_b]
        hits, left_out = _compared(keys, keys_b, start, *sides, radius, crowd)
        skipped += left_out
        pending += [_packed(order[p], order_b[q], same=b is None) for p, q in hits]
        if sum(map(len, pending)) > max(PENDING, len(found)):
            found, pending = np.unique(np.concatenate([found, *pending])), []
    return _unpacked(np.unique(np.concatenate([found, *pending]))), skipped


def _compared(
    keys: np.ndarray,
    keys_b: np.ndarray,
    start: np.ndarray,
    words: list[np.ndarray],
    words_b: list[np.ndarray],
    radius: int,
    crowd: int,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Rows of a and b of equal key that are within the radius, both sorted by key, and the
    comparisons left out.

    start[j] is the first row of a to compare with row j of b; then come the ones after it, while
    their key is equal.
    """
    padded = np.append(keys, ~np.uint64(0))  # no key: their top bits are 0
    place, row, hits = start, np.arange(len(start)), []
    for _ in range(crowd):
        same = np.flatnonzero(padded[place] == keys_b[row])
        if not len(same):
            return hits, 0
        place, row = place[same], row[same]
        p, q, distance = place, row, 0
        for x, y in zip(words, words_b, strict=True):  # most are out after the first word
            distance = distance + np.bitwise_count(x[p] ^ y[q])
            close = np.flatnonzero(distance <= radius)
            p, q, distance = p[close], q[close], distance[close]
        if len(p):
            hits.append((p, q))
        place = place + 1
    return hits, int((np.searchsorted(keys, keys_b[row], "right") - place).clip(0).sum())
