"""Duplicate search: equal to brute force on random codes, planted copies found, the copies that
real data holds.
"""

import hashlib

import numpy as np
import pytest
import torch

from corpus.duplicates import hamming
from corpus.duplicates.hamming import near
from corpus.duplicates.overlap import LIKE, SAME, verify_pairs
from corpus.duplicates.search import exact, groups, knn, neighbour_pairs
from corpus.media.decoding import decode
from corpus.media.fingerprint import fingerprint, mirrored
from tests.corpus.media.test_fingerprint import CHANGES, resized, scene


def digests(texts: str) -> np.ndarray:
    rows = [hashlib.sha256(text.encode()).digest() for text in texts]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)


def test_exact_pairs():
    assert exact(digests("abcadba")).tolist() == [[0, 3], [1, 5], [0, 6]]
    assert exact(digests("abca"), digests("xacab")).tolist() == [[0, 1], [2, 2], [0, 3], [1, 4]]
    assert (
        exact(digests("abc")).shape
        == exact(digests("")).shape
        == exact(digests(""), digests("aa")).shape
        == (0, 2)
    )


def codes(n: int, seed: int, words: int = 2, flips: int = 14) -> np.ndarray:
    """Random codes, half of them another one with up to `flips` - 1 bits inverted."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 2**64, (n, words), np.uint64)
    for i in range(n // 2, n):
        found[i] = found[rng.integers(i)]
        for bit in rng.integers(64 * words, size=rng.integers(flips)):
            found[i, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return found


def brute(a: np.ndarray, b: np.ndarray | None, radius: int) -> dict[tuple[int, int], int]:
    distance = np.bitwise_count(a[:, None] ^ (a if b is None else b)).sum(2)
    rows = zip(*np.nonzero(distance <= radius), strict=True)
    return {(int(i), int(j)): int(distance[i, j]) for i, j in rows if b is not None or i < j}


@pytest.mark.parametrize("agree", [1, 2, 3])
@pytest.mark.parametrize(("radius", "words"), [(0, 2), (3, 1), (7, 2), (12, 2), (12, 4)])
def test_near_is_brute_force(agree, radius, words, monkeypatch):
    monkeypatch.setattr(
        hamming, "_plan", lambda bits, n, m, r: (agree, n / 2 ** (bits * agree / (r + agree)))
    )
    monkeypatch.setattr(hamming, "PENDING", 50)
    a, b = codes(400, radius, words), codes(300, radius + 1, words)
    b[::3] = codes(400, radius, words)[:100]
    for other in (None, b):
        found = near(a, other, radius)
        pairs = dict(zip(map(tuple, found.pairs.tolist()), found.distances.tolist(), strict=True))
        assert len(pairs) == len(found.pairs) and pairs == brute(a, other, radius)
        assert not len(found.crowds) and found.skipped == 0 and len(pairs) > 5


def test_the_plan_never_makes_a_crowd_of_chance():
    for n in (10, 10**4, 10**6, 10**7):
        agree, alike = hamming._plan(128, n, n, hamming.RADIUS)
        assert n * alike < 1e11 and 1 <= agree <= 4


@pytest.mark.parametrize("n", [0, 1, 2])
def test_near_of_hardly_any_codes(n):
    a = np.zeros((n, 2), np.uint64)
    assert near(a).pairs.tolist() == [[0, 1]][: n // 2]
    assert len(near(a, np.zeros((3, 2), np.uint64)).pairs) == 3 * n
    assert near(a, np.zeros((0, 2), np.uint64)).pairs.shape == (0, 2)


def test_ubiquitous_codes_are_linked_to_the_first_and_reported():
    a = np.concatenate([codes(50, 0, flips=1), np.zeros((5000, 2), np.uint64)])
    a[60], a[4000] = (1, 0), (3, 0)  # next to the crowd, not in it
    found = near(a)
    assert found.crowds.tolist() == [[50, 4998]] and len(found.pairs) < 4 * 5000
    kept = groups(len(a), found.pairs)
    assert len(np.unique(kept.first[50:])) == 1 and not set(kept.drop) & {50}
    between = near(a, a[40:2000])
    assert len(between.pairs) < 4 * 5000 and set(between.pairs[:, 1]) == set(range(1960))


def test_alike_codes_beyond_a_crowd_are_cut_and_counted():
    rng = np.random.default_rng(0)
    a = np.unique(
        np.stack([rng.integers(0, 2**11, 1500, np.uint64), np.zeros(1500, np.uint64)], 1), axis=0
    )
    found = near(a, radius=12)
    assert found.skipped > 0 and len(found.pairs) < 13 * hamming.CROWD * len(a)
    assert len(np.unique(groups(len(a), found.pairs).first)) == 1


def test_groups_keep_the_first_of_each_chain():
    kept = groups(8, np.array([[3, 5], [1, 3], [6, 7], [1, 5]]))
    assert kept.first.tolist() == [0, 1, 2, 1, 4, 1, 6, 6] and kept.drop.tolist() == [3, 5, 7]
    assert groups(3, np.empty((0, 2), np.int64)).drop.tolist() == []


def load(images: list[np.ndarray]):
    return lambda rows: np.stack([images[i] for i in rows])


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [scene(i) for i in range(40)]


@pytest.mark.parametrize("change", sorted(set(CHANGES) - {"squeezed"}))
def test_planted_copies_are_found_and_verified(change, scenes):
    copies = [CHANGES[change](image) for image in scenes[:20]]
    found = near(np.stack([*map(fingerprint, scenes)]), np.stack([*map(fingerprint, copies)])).pairs
    assert found.tolist() == [[i, i] for i in range(20)]
    assert (verify_pairs(load(scenes), load(copies), *found.T, batch=7) > LIKE).all()


def test_mirrored_copies_are_found_by_their_mirrored_codes(scenes):
    copies = [np.ascontiguousarray(image[:, ::-1]) for image in scenes[:20]]
    a, b = (np.stack([*map(fingerprint, images)]) for images in (scenes, copies))
    assert not len(near(a, b).pairs) and near(a, mirrored(b)).pairs.tolist() == [
        [i, i] for i in range(20)
    ]


@pytest.mark.parametrize(("side", "recall"), [(0.9, 0.95), (0.75, 0.9), (0.6, 0.8)])
def test_crops_are_verified_and_other_images_are_not(side, recall, scenes):
    rng, width = np.random.default_rng(0), round(64 * side)
    corners = rng.integers(64 - width + 1, size=(40, 2))
    crops = [
        resized(x[t : t + width, s : s + width], 32, 32)
        for x, (s, t) in zip(scenes, corners, strict=True)
    ]
    i = np.arange(40)
    for scores in (
        verify_pairs(load(scenes), load(crops), i, i),
        verify_pairs(load(crops), load(scenes), i, i),
    ):
        assert (scores > SAME).mean() >= recall
    assert (verify_pairs(load(scenes), load(crops), i, np.roll(i, 1)) > SAME).sum() == 0
    assert verify_pairs(load(scenes), load(crops), i[:0], i[:0]).shape == (0,)


def test_flat_images_are_no_duplicates():
    flat = [np.full((16, 16, 3), level, np.uint8) for level in (0, 0, 255)]
    assert (verify_pairs(load(flat), load(flat), np.array([0, 0]), np.array([1, 2])) == 0).all()


@pytest.mark.parametrize("k", [1, 21, 500])
def test_knn_is_brute_force(k):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(300, 16, generator=generator), torch.randn(70, 16, generator=generator)
    indices, similarities = knn(a, b, k, rows=32, columns=47)
    cosine = torch.cosine_similarity(b[:, None].double(), a[None].double(), dim=2)
    values, expected = cosine.topk(min(k, 300), 1)
    assert indices.tolist() == expected.tolist()
    assert np.allclose(similarities, values, atol=1e-5)


def test_neighbour_pairs():
    indices, similarities = (
        np.array([[0, 1], [1, 0], [2, 0]]),
        np.array([[1, 0.9], [1, 0.9], [1, 0.3]]),
    )
    assert neighbour_pairs(indices, similarities, 0.8, same=True).tolist() == [[0, 1]]
    assert neighbour_pairs(indices, similarities, 0.8).tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
        [2, 2],
    ]


def test_real_images(pack):
    """Tiny ImageNet's subset holds six images twice, one of them in train and val, under two
    classes each.
    """
    paths = sorted(pack("tinyimagenet_setA").glob("setA/*/*/*.JPEG"))
    files = [path.read_bytes() for path in paths]
    equal = exact(
        np.frombuffer(b"".join(hashlib.sha256(f).digest() for f in files), np.uint8).reshape(-1, 32)
    )
    assert len(equal) == 6 and all(files[i] == files[j] for i, j in equal)
    assert sum(paths[i].parts[-3] != paths[j].parts[-3] for i, j in equal) == 1
    some = np.unique(np.concatenate([equal.ravel(), np.arange(0, len(files), 10)]))
    found = near(np.stack([fingerprint(decode(files[i])) for i in some]))
    assert sorted(map(sorted, some[found.pairs].tolist())) == sorted(map(sorted, equal.tolist()))
