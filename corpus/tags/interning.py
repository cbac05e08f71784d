"""Strings as numbers: a stable 64-bit hash over Arrow buffers, and dense ids of distinct strings
in 12 bytes each.

The hash takes a string's UTF-8 bytes eight at a time (little-endian) through the finaliser of
splitmix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", figure 16): the
same on every machine, run and version. Two of n strings share a hash with probability n^2 / 2^65:
3e-8 for a million, 3e-6 for ten million distinct strings.
"""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEED, FIRST, SECOND = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
LONG = 1024  # bytes; beyond, eight at a time over few strings is slower than blake2b
GROWTH = 8  # a sorted run is merged into one at most this many times longer


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


def hash64(strings: pa.Array) -> np.ndarray:
    """uint64 (n,) of a string or large_string array without nulls."""
    if len(strings) == 0:
        return np.empty(0, np.uint64)
    strings = strings.cast(pa.large_string())
    _, offsets, data = strings.buffers()
    offsets = np.frombuffer(offsets, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    text = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    text = np.concatenate(
        [text, np.zeros(8, np.uint8)]
    )  # so that the last string's last word can be read whole
    words = np.ndarray(
        len(text) - 7, "<u8", text, strides=(1,)
    )  # the eight bytes from every byte on
    starts, left = offsets[:-1] - offsets[0], np.diff(offsets)
    hashes = _mixed(SEED + left.astype(np.uint64))
    long = np.flatnonzero(left > LONG)
    for i in long:
        digest = blake2b(text[starts[i] : starts[i] + left[i]].tobytes(), digest_size=8).digest()
        hashes[i] = int.from_bytes(digest, "little")
    rows = np.flatnonzero((left > 0) & (left <= LONG))
    starts, left = starts[rows], left[rows]
    while len(rows):
        unused = (8 * np.maximum(8 - left, 0)).astype(np.uint64)
        word = words[starts] << unused >> unused
        hashes[rows] = _mixed(hashes[rows] ^ word)
        more = left > 8
        rows, starts, left = rows[more], starts[more] + 8, left[more] - 8
    return hashes


def hash_known(strings: pa.Array) -> np.ndarray:
    """uint64 (n,), never 0 but where the string is null or empty."""
    coded = (
        strings
        if pa.types.is_dictionary(strings.type)
        else strings.cast(pa.large_string()).dictionary_encode()
    )
    texts = coded.dictionary.fill_null("")
    hashes = np.maximum(hash64(texts), np.uint64(1))
    hashes[pc.equal(texts, "").to_numpy(zero_copy_only=False)] = 0
    return np.append(hashes, np.uint64(0))[
        coded.indices.fill_null(-1).to_numpy()
    ]  # index -1 is the 0 appended


class HashIndex:
    """64-bit hashes to int32 values >= 0, in sorted runs that are merged as they grow: 12 bytes
    per hash.
    """

    def __init__(self):
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """The values as int32 (n,), -1 for an unknown hash."""
        found = np.full(len(hashes), -1, np.int32)
        order = np.argsort(hashes)
        wanted = hashes[order]  # sorted, so that the search goes through a run once
        for keys, values in self._runs:
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hit = keys[place] == wanted
            found[order[hit]] = values[place[hit]]
        return found

    def add(self, hashes: np.ndarray, values: np.ndarray) -> None:
        """Adds distinct hashes that are not there yet."""
        if len(hashes) == 0:
            return
        order = np.argsort(hashes)
        keys, values = hashes[order], values[order].astype(np.int32)
        while self._runs and len(self._runs[-1][0]) < GROWTH * len(keys):
            older, older_values = self._runs.pop()
            place = np.searchsorted(older, keys)
            keys, values = np.insert(older, place, keys), np.insert(older_values, place, values)
        self._runs.append((keys, values))


class Interner:
    """Dense ids of distinct strings, in the order in which they first came."""

    def __init__(self):
        self._index, self._chunks, self._size = HashIndex(), [], 0

    def __len__(self) -> int:
        return self._size

    def __call__(self, strings: pa.Array) -> np.ndarray:
        """int32 ids (n,) of a large_string array, new strings taken in; -1 for null."""
        coded = strings.dictionary_encode()
        hashes = hash64(coded.dictionary)
        ids = self._index.find(hashes)
        new = np.flatnonzero(ids < 0)
        ids[new] = np.arange(self._size, self._size + len(new))
        self._index.add(hashes[new], ids[new])
        self._chunks.append(coded.dictionary.take(pa.array(new)))
        self._size += len(new)
        return np.append(ids, np.int32(-1))[
            coded.indices.fill_null(-1).to_numpy()
        ]  # index -1 is the -1 appended

    def strings(self) -> pa.Array:
        """All strings as one large_string array; position = id."""
        return pa.chunked_array(self._chunks, pa.large_string()).combine_chunks()
