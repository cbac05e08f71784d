"""The perceptual hash: few bits differ between copies, many between other images, the same
everywhere.
"""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from corpus.drawn.painting import expose
from corpus.drawn.scenes import compose
from corpus.media.fingerprint import BITS, fingerprint, mirrored
from corpus.sources.users import stream


def scene(number: int, size: int = 64) -> np.ndarray:
    """A drawn image."""
    rng = stream(7, number)
    return expose(rng, *compose(rng), size)


def bits(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(fingerprint(a) ^ fingerprint(b)).sum())


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


CHANGES = {
    "recompressed": lambda x: jpeg(x, 50),
    "half": lambda x: resized(x, 32, 32),
    "larger": lambda x: resized(x, 150, 150),
    "squeezed": lambda x: resized(x, 61, 43),
    "grey": lambda x: np.asarray(Image.fromarray(x).convert("L").convert("RGB")),
    "darker": lambda x: (x * 0.6 + 20).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_differ_in_few_bits(change):
    distances = [bits(scene(i), CHANGES[change](scene(i))) for i in range(30)]
    assert max(distances) <= 12 and np.median(distances) <= 4


def test_other_images_differ_in_many_bits():
    codes = np.stack([fingerprint(scene(i)) for i in range(60)])
    assert codes.shape == (60, 2) and codes.dtype == np.uint64 and BITS == 128
    distances = np.bitwise_count(codes[:, None] ^ codes).sum(2)[np.triu_indices(60, 1)]
    assert distances.min() > 20 and 50 < distances.mean() < 70


def test_a_crop_is_not_hidden():
    """A tenth off each side is another picture to the hash.

    Such copies are for the learnt search.
    """
    assert (
        np.median([bits(scene(i), resized(scene(i)[6:-6, 6:-6], 64, 64)) for i in range(20)]) > 20
    )


@pytest.mark.parametrize("size", [64, 37, 32])
def test_a_mirror_inverts_known_bits(size):
    for i in range(10):
        image = scene(i, size)
        difference = mirrored(fingerprint(image)) ^ fingerprint(
            np.ascontiguousarray(image[:, ::-1])
        )
        assert np.bitwise_count(difference).sum() <= 1  # 1 where a coefficient is next to 0
        assert np.bitwise_count(mirrored(fingerprint(image)) ^ fingerprint(image)).sum() > 40


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (37, 53), (1, 40), (500, 3)])
@pytest.mark.parametrize("level", [0, 77, 200, 255])
def test_flat_images_have_code_zero(shape, level):
    assert not fingerprint(np.full((*shape, 3), level, np.uint8)).any()


def test_bits_are_those_of_the_cosine_transform():
    """By the textbook formula on every pixel, where its coefficient is not next to 0."""
    image = scene(3, 48)
    grey = image @ np.array([77.0, 150, 29])
    edges = np.pi * np.arange(49) / 48
    order = sorted((u * u + v * v, u, v) for u in range(14) for v in range(14))[1:129]
    wanted = []
    for _, u, v in order:
        across, down = (np.diff(np.sin(k * edges) / k) if k else np.diff(edges) for k in (u, v))
        wanted.append(down @ grey @ across)
    found = np.unpackbits(fingerprint(image).view(np.uint8))
    clear = np.abs(wanted) > 1e-3 * np.abs(wanted).max()
    assert clear.sum() > 100 and (found[clear] == (np.array(wanted) > 0)[clear]).all()


def test_channels_and_layout_do_not_matter():
    image = scene(1)
    assert (fingerprint(np.asfortranarray(image)) == fingerprint(image)).all()
    assert (fingerprint(np.concatenate([image, image], 1)[:, :64]) == fingerprint(image)).all()
    with pytest.raises(AssertionError):
        fingerprint(image[..., 0])
