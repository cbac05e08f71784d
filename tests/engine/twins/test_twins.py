"""Duplicates between stores: copies in every plain form are found, the same thing in another
colour is not.
"""

import hashlib
from io import BytesIO
from types import SimpleNamespace

import numpy as np
from PIL import Image

from corpus.duplicates.hamming import RADIUS
from corpus.duplicates.twins import twin_pairs
from corpus.media.fingerprint import fingerprint


def side(images: list[np.ndarray], unusable: tuple[int, ...] = ()) -> SimpleNamespace:
    """A store of these images, uint8 (32, 32, 3)."""
    return SimpleNamespace(
        digests=np.stack(
            [np.frombuffer(hashlib.sha256(image.tobytes()).digest(), np.uint8) for image in images]
        ),
        codes=np.stack([fingerprint(image) for image in images]),
        usable=np.array([i for i in range(len(images)) if i not in unusable]),
        pixels=lambda rows: np.stack([images[row] for row in rows.tolist()]),
        frames=None,
    )


def photo(seed: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC))


def tinted(seed: int, tint: tuple[float, float, float]) -> np.ndarray:
    """One pattern of brightness (BT.601), in a colour."""
    grey = photo(seed).mean(2, keepdims=True) / 2
    return (
        (grey * np.array(tint) / (np.array(tint) @ (0.299, 0.587, 0.114)))
        .clip(0, 255)
        .astype(np.uint8)
    )


def recompressed(image: np.ndarray) -> np.ndarray:
    out = BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=50)
    return np.asarray(Image.open(out))


def found(a, b=None) -> set[tuple[int, int, str]]:
    result = twin_pairs(a, b)
    return {
        (i, j, kind)
        for (i, j), kind in zip(result.pairs.tolist(), result.kinds.tolist(), strict=True)
    }


def test_copies_within_a_store():
    images = [photo(i) for i in range(30)]
    images += [images[3], recompressed(images[4]), np.ascontiguousarray(images[5][:, ::-1])]
    grey = (
        np.repeat(images[6] @ np.array([0.299, 0.587, 0.114]), 3)
        .reshape(32, 32, 3)
        .astype(np.uint8)
    )
    assert found(side([*images, grey])) == {
        (3, 30, "exact"),
        (4, 31, "near"),
        (5, 32, "mirrored"),
        (6, 33, "near"),
    }


def test_copies_between_stores_but_for_unusable_images():
    a, b = [photo(i) for i in range(20)], [photo(99), recompressed(photo(7)), photo(8), photo(9)]
    assert found(side(a, (9,)), side(b)) == {(7, 1, "near"), (8, 2, "exact")}
    assert found(side(a), side(b, (1, 2))) == {(9, 3, "exact")}


def test_the_same_thing_in_another_colour_is_no_copy():
    red, blue, rosy = tinted(1, (9, 4, 3)), tinted(1, (3, 4, 9)), tinted(1, (9, 4.2, 3.2))
    assert np.bitwise_count(fingerprint(red) ^ fingerprint(blue)).sum() <= RADIUS
    assert found(side([red, blue, rosy])) == {(0, 2, "near")}
