"""Images that keep their aspect, and masks as run lengths, beside pycocotools."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from corpus.media.decoding import decode
from corpus.media.fingerprint import fingerprint
from corpus.media.images import BadImage
from corpus.media.kept import centre, kept_picture, stored_sides
from corpus.media.runs import decoded, nearest, run_lengths, sampled
from corpus.media.squares import squared, stored_square


def encoded(width: int, height: int, form: str = "JPEG", **options) -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (5, 4, 3), np.uint8)
    out = BytesIO()
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    image.save(out, form, **options)
    return out.getvalue()


def test_the_longer_side_is_at_most_the_size_and_nothing_is_enlarged():
    rng = np.random.default_rng(0)
    for width, height, size in rng.integers(1, 3000, (2000, 3)).tolist():
        stored = stored_sides(width, height, size)
        longer = max(width, height)
        assert max(stored) == min(longer, size) and min(stored) >= 1
        exact = min(1, size / longer) * min(width, height)
        assert abs(min(stored) - exact) <= 0.5 or min(stored) == 1
        assert stored_sides(height, width, size) == stored[::-1]
    assert stored_sides(50_000_000, 1, 64) == (64, 1)


@pytest.mark.parametrize(
    ("width", "height", "size", "form"),
    [(60, 40, 64, "JPEG"), (60, 40, 60, "PNG"), (500, 200, 64, "JPEG"), (37, 310, 50, "WEBP")],
)
def test_an_image_is_stored_as_a_jpeg_of_its_aspect(width, height, size, form):
    data = encoded(width, height, form)
    jpeg, pixels, sides = kept_picture(data, size)
    assert sides == (width, height)
    assert decode(jpeg).shape[1::-1] == stored_sides(width, height, size)
    assert (jpeg == data) == (form == "JPEG" and max(width, height) <= size)
    square = stored_square(data, size)[1]
    assert (fingerprint(square) == fingerprint(pixels)).all(), "twins are found across kinds"
    middle = centre(decode(jpeg), size)
    assert middle.shape == (size, size, 3)
    far = np.abs(middle.astype(float) - decode(squared(pixels, size))).mean()
    assert far < 12, "the square of what is stored is that of the image, but for sharpness"


def test_an_image_that_exif_turns_is_stored_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg, _, sides = kept_picture(encoded(60, 40, exif=exif), 64)
    assert sides == (40, 60) and decode(jpeg).shape == (60, 40, 3)
    with pytest.raises(BadImage, match="unknown format"):
        kept_picture(b"no image", 64)


def random_mask(rng: np.random.Generator) -> np.ndarray:
    height, width = rng.integers(1, 40, 2)
    if rng.random() < 0.1:
        return np.full((height, width), rng.random() < 0.5)
    return rng.random((height, width)) < rng.random()


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(400):
        mask = random_mask(rng)
        packed = rle.encode(np.asfortranarray(mask, np.uint8))
        assert (decoded(packed["counts"], *mask.shape) == mask).all()
        assert run_lengths(packed["counts"])[1::2].sum() == rle.area(packed)
    wide = np.zeros((2000, 1500), np.uint8)
    wide[500:, 700:] = 1
    packed = rle.encode(np.asfortranarray(wide))
    assert (decoded(packed["counts"], *wide.shape) == wide).all()


def test_damaged_run_lengths_are_told_whatever_the_bytes():
    """Where pycocotools reads memory that nobody has written."""
    rng, told = np.random.default_rng(1), 0
    for _ in range(400):
        mask = random_mask(rng)
        counts = bytearray(rle.encode(np.asfortranarray(mask, np.uint8))["counts"])
        place = int(rng.integers(len(counts)))
        if rng.random() < 0.5:
            del counts[place:]
        else:
            counts[place] = int(rng.integers(256))
        try:
            found = decoded(bytes(counts), *mask.shape)
            assert found.shape == mask.shape  # by chance another mask of this size
        except ValueError as error:
            assert "run lengths" in str(error)
            told += 1
    assert told > 300
    for bad in (b"", b"o", b"oooooooooooo0", "é".encode()):
        with pytest.raises(ValueError, match="run lengths that cannot be read"):
            run_lengths(bad)


def test_a_smaller_mask_has_the_pixels_that_centres_lie_in():
    rng = np.random.default_rng(2)
    for _ in range(200):
        mask = random_mask(rng)
        counts = rle.encode(np.asfortranarray(mask, np.uint8))["counts"]
        into = [int(rng.integers(1, side + 1)) for side in mask.shape]
        taken = nearest(*mask.shape, into)
        wanted = mask[taken.rows][:, taken.columns]
        assert (sampled(counts, *mask.shape, taken) == wanted).all()
    taken = nearest(6, 9, (2, 4))
    assert taken.rows.tolist() == [1, 4] and taken.columns.tolist() == [1, 3, 5, 7]
    same = nearest(5, 7, (5, 7))
    assert same.rows.tolist() == [*range(5)] and same.columns.tolist() == [*range(7)]
