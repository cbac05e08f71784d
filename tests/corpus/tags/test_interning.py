"""Stable hashes: golden values, spread; ids that a dict would give."""

import numpy as np
import pyarrow as pa

from corpus.tags.interning import HashIndex, Interner, hash64


def test_hashes_are_stable_and_differ():
    golden = {
        "": 16294208416658607535,
        "a": 4490210150949542640,
        "sunset": 12914723720159393108,
        "abcdefgh": 8679855946413563446,
        "abcdefghi": 6643350042676732447,
        "海": 3903710228229611984,
        "x" * 2000: 16228424759418744465,
    }
    assert hash64(pa.array(list(golden))).tolist() == list(golden.values())
    assert hash64(pa.array(["x", *golden])[1:]).tolist() == list(golden.values())  # a slice too
    many = pa.array([str(i) for i in range(100_000)] + ["a" * i for i in range(1, 2000)])
    assert len(np.unique(hash64(many))) == len(many)
    ones = np.unpackbits(hash64(many).view(np.uint8)).mean()
    assert 0.499 < ones < 0.501


def test_hash_index_and_interner_agree_with_a_dict():
    rng = np.random.default_rng(0)
    index, known, intern, seen = HashIndex(), {}, Interner(), {}
    for size in (1000, 10, 10, 500, 3000, 1, 0):
        hashes = rng.choice(5000, size, replace=False).astype(np.uint64)
        found = index.find(hashes)
        assert found.tolist() == [known.get(h, -1) for h in hashes.tolist()]
        new = hashes[found < 0]
        index.add(new, np.arange(len(known), len(known) + len(new)))
        known |= {h: len(known) + i for i, h in enumerate(new.tolist())}
        words = [str(h % 777) if h % 50 else None for h in hashes.tolist()]
        expected = [-1 if word is None else seen.setdefault(word, len(seen)) for word in words]
        assert intern(pa.array(words, pa.large_string())).tolist() == expected
    assert intern.strings().to_pylist() == list(seen) and len(intern) == len(seen)
