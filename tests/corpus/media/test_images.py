"""Images of strangers: every way to be bad is refused by its name, every odd but good one gives
Pillow's pixels.
"""

import pickle
import struct
import warnings
import zlib
from io import BytesIO
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from corpus.media import images
from corpus.media.decoding import decode
from corpus.media.images import BadImage, checked_image
from corpus.media.squares import square, squared


def photo(size=(61, 45), mode="RGB") -> Image.Image:
    """Smooth colours with edges, so that subsampling, rotation and damage all show."""
    rng = np.random.default_rng(0)
    return (
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
        .resize(size, Image.Resampling.BICUBIC)
        .convert(mode)
    )


def saved(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pillows(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A well-formed PNG that says it has so many pixels, and holds one row at most."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(300))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def rotten(data: bytes, at: float = 0.6) -> bytes:
    """Bytes within the pixels are lost: for a JPEG all ones instead, which no Huffman code is."""
    cut = int(len(data) * at)
    return data[:cut] + b"\xff\0" * 20 + data[cut + 40 :]


JPEG, PROGRESSIVE = (
    saved(photo((201, 150)), quality=92),
    saved(photo((201, 150)), quality=92, progressive=True),
)
PNG = saved(photo(), "PNG")
SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]

BAD = {
    "no bytes": (b"", "empty", "0 bytes"),
    "text": (
        b"<!DOCTYPE html><html>not found</html>",
        "unknown format",
        "starts with b'<!DOCTYPE ht'",
    ),
    "an image of another format": (
        saved(photo((32, 32)), "ICO"),
        "unknown format",
        "not decodable as JPEG/PNG",
    ),
    "a PDF": (saved(photo(), "PDF"), "unknown format", "starts with b'%PDF"),
    "JPEG cut in its pixels": (JPEG[: len(JPEG) // 2], "truncated", "Premature end of JPEG file"),
    "JPEG cut near its end": (JPEG[:-20], "truncated", "Premature end of JPEG file"),
    "JPEG cut and closed": (
        JPEG[: len(JPEG) // 2] + b"\xff\xd9",
        "truncated",
        "premature end of data segment",
    ),
    "JPEG cut in its header": (JPEG[:200], "truncated", "Truncated File Read"),
    "JPEG of two bytes more than its mark": (JPEG[:5], "damaged", "not decodable"),
    "progressive JPEG cut between scans": (
        PROGRESSIVE[: len(PROGRESSIVE) * 2 // 3],
        "truncated",
        "",
    ),
    "CMYK JPEG cut": (saved(photo((201, 150), "CMYK"))[:2500], "truncated", "truncated"),
    "PNG cut": (PNG[:-300], "truncated", "truncated"),
    "GIF cut": (saved(photo(), "GIF")[:900], "truncated", "truncated"),
    "BMP cut": (saved(photo(), "BMP")[:900], "truncated", "truncated"),
    "WebP cut": (saved(photo(), "WEBP", lossless=True)[:300], "damaged", "not decodable"),
    "TIFF cut": (saved(photo(), "TIFF")[:900], "truncated", "not decodable"),
    "JPEG with lost bytes": (rotten(JPEG), "damaged", "Corrupt JPEG data"),
    "progressive JPEG with lost bytes": (rotten(PROGRESSIVE), "damaged", "Corrupt JPEG data"),
    "PNG with lost bytes": (rotten(PNG), "damaged", "not decodable"),
    "PNG header cut": (PNG[:20], "truncated", "Truncated File Read"),
    "JPEG bomb": (resized(JPEG, 60_000, 60_000), "too many pixels", "60000 x 60000"),
    "JPEG just too large": (
        resized(JPEG, 10_000, 5_001),
        "too many pixels",
        "10000 x 5001 pixels, allowed are 1 to",
    ),
    "PNG bomb": (png(60_000, 60_000), "too many pixels", "3600000000 pixels"),
    "PNG bomb below Pillow's own limit": (
        png(9_000, 9_000),
        "too many pixels",
        "9000 x 9000 pixels",
    ),
    "JPEG of 600 scans": (
        PROGRESSIVE[:-2] + SCAN * 600 + b"\xff\xd9",
        "too many scans",
        "allowed are 500",
    ),
    "floats": (saved(photo(mode="F"), "TIFF"), "unsupported pixels", "mode F have no known range"),
    "32 bits": (saved(photo(mode="I"), "TIFF"), "unsupported pixels", "mode I have no known range"),
}


@pytest.mark.parametrize(("data", "kind", "detail"), BAD.values(), ids=BAD)
def test_bad_images_are_refused_by_kind_and_reason(data, kind, detail):
    for read in (checked_image, lambda data: checked_image(data, 8), lambda data: square(data, 16)):
        with pytest.raises(BadImage) as error:
            read(data)
        assert error.value.kind == kind and str(error.value).startswith(f"{kind}: ")
        assert (
            detail in str(error.value)
            and " at 0x" not in str(error.value)
            and len(str(error.value)) < 300
        )


def test_every_kind_is_met_and_survives_a_change_of_process():
    assert {kind for _, kind, _ in BAD.values()} == set(images.KINDS)
    error = pickle.loads(pickle.dumps(BadImage("truncated", "why")))
    assert (error.kind, str(error)) == ("truncated", "truncated: why")


def test_every_cut_that_loses_pixels_is_refused():
    for data, close in (
        (JPEG, 1),
        (PROGRESSIVE, 1),
        (PNG, 24),
    ):  # a PNG ends with checksums and a mark
        for end in [*range(0, len(data) - close, 61), len(data) - close]:
            with pytest.raises(BadImage):
                checked_image(data[:end])


def gps_photo(orientation: int, **options) -> bytes:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    return saved(photo(), exif=exif, **options)


def two(kind: str, **options) -> bytes:
    return saved(
        photo(), kind, save_all=True, append_images=[photo().rotate(180)], duration=100, **options
    )


def described() -> bytes:
    about = PngImagePlugin.PngInfo()
    about.add_text("comment", "x" * 1000)
    return saved(photo(), "PNG", pnginfo=about)


def arithmetic() -> bytes:
    """A grey JPEG in arithmetic coding: any bytes are a valid code there, these of a few blots."""
    grey = saved(photo((16, 16), "L"))
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(grey[scan + 2 : scan + 4], "big")
    return (
        grey[:frame] + b"\xff\xc9" + grey[frame + 2 : end] + b"\x12\x34\x56\x78\x9a" + b"\xff\xd9"
    )


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
GOOD = {
    **{
        f"JPEG subsampled {s}, quality {q}": saved(photo(), quality=q, subsampling=s)
        for s, q in product((0, 1, 2), (30, 92))
    },
    "JPEG progressive": PROGRESSIVE,
    "JPEG optimised, with restart marks": saved(photo(), optimize=True, restart_marker_rows=1),
    "JPEG arithmetic": arithmetic(),
    "JPEG in RGB": saved(photo(), keep_rgb=True),
    "JPEG grey": saved(photo(mode="L")),
    "JPEG CMYK": saved(photo(mode="CMYK")),
    "JPEG with a colour profile": saved(photo(), icc_profile=b"no profile" * 9000),
    "JPEG with XMP": saved(photo(), xmp=XMP),
    "JPEG with a comment": saved(photo(), comment=b"Exif\0\0 is not here"),
    "JPEG with zeros before its end": JPEG[:-2] + bytes(9) + JPEG[-2:],
    "JPEG with garbage behind": JPEG + b"garbage" * 99,
    "JPEG with padding in its header": JPEG[: JPEG.index(b"\xff\xc0")]
    + bytes(3)
    + JPEG[JPEG.index(b"\xff\xc0") :],
    **{f"JPEG turned {o}": gps_photo(o) for o in range(0, 10)},
    "grey JPEG turned": saved(
        photo(mode="L"),
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ),
    "PNG": PNG,
    "PNG of text": described(),
    "PNG grey": saved(photo(mode="L"), "PNG"),
    "PNG of two colours": saved(photo(mode="1"), "PNG"),
    "PNG with a palette": saved(photo(mode="P"), "PNG"),
    "PNG animated": two("PNG"),
    "GIF": saved(photo(), "GIF"),
    "GIF animated": two("GIF"),
    "WebP": saved(photo(), "WEBP"),
    "WebP animated": two("WEBP", lossless=True),
    "BMP": saved(photo(), "BMP"),
    "TIFF, LZW": saved(photo(), "TIFF", compression="tiff_lzw"),
}


def with_chunks(*chunks: bytes, orientation: int = 1) -> bytes:
    """A PNG with more chunks before its pixels."""
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    data = saved(photo(), "PNG", exif=exif) if orientation > 1 else saved(photo(), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]  # behind its signature and header


def packed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


XMP_6 = XMP.replace(b'"8"', b'"6"')
LARGE = {
    "text of 5 MB": with_chunks(chunk(b"tEXt", b"workflow\0" + b"x" * (5 << 20))),
    "packed text of 5 MB": with_chunks(chunk(b"zTXt", b"workflow\0\0" + packed(5 << 20))),
    "packed UTF-8 text of 5 MB": with_chunks(chunk(b"iTXt", b"prompt\0\1\0\0\0" + packed(5 << 20))),
    "UTF-8 text of 70 MB": with_chunks(chunk(b"iTXt", b"prompt\0\0\0\0\0" + b"x" * (70 << 20))),
    "a profile of 5 MB": with_chunks(chunk(b"iCCP", b"icc\0\0" + packed(5 << 20))),
    "a profile packed unheard-of": with_chunks(chunk(b"iCCP", b"icc\0\7" + packed(50))),
    "a text with a wrong checksum": with_chunks(chunk(b"tEXt", b"a\0b")[:-4] + b"oops"),
    "a bomb of text": with_chunks(chunk(b"zTXt", b"a\0\0" + packed(300 << 20))),
    "packed text and EXIF": with_chunks(chunk(b"zTXt", b"a\0\0" + packed(5 << 20)), orientation=6),
    "packed text and XMP": with_chunks(
        chunk(b"zTXt", b"a\0\0" + packed(5 << 20)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_6),
    ),
    "XMP of 5 MB": with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed(5 << 20))),
}


@pytest.mark.parametrize("name", LARGE)
def test_text_and_profiles_of_any_size_harm_no_pixels(name):
    picture, expected = checked_image(LARGE[name]), np.asarray(photo())
    if name in ("packed text and EXIF", "packed text and XMP"):
        expected = np.rot90(expected, -1)  # orientation 6: the camera was turned to the left
    assert np.array_equal(picture.pixels, expected) and picture.format == "PNG"
    with pytest.raises(BadImage) as error:  # good text excuses no bad pixels
        checked_image(LARGE[name][:-300])
    assert error.value.kind == "truncated"


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_pixels_are_pillows(data):
    picture, expected = checked_image(data), pillows(data)
    assert np.array_equal(picture.pixels, expected) and picture.pixels.dtype == np.uint8
    assert (picture.height, picture.width) == expected.shape[:2]
    assert picture.format == Image.open(BytesIO(data)).format
    assert np.array_equal(checked_image(data).pixels, expected)


@pytest.mark.parametrize(
    "name", ["JPEG progressive", "JPEG grey", "JPEG CMYK", "JPEG turned 6", "PNG"]
)
@pytest.mark.parametrize("least", [1, 5, 20, 45, 1000])
def test_reduced_jpegs_keep_both_sides_and_are_pillows_drafts(name, least):
    data = GOOD[name]
    picture, image = checked_image(data, least), Image.open(BytesIO(data))
    whole = image.size
    image.draft(image.mode, (least, least))
    assert np.array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
    assert min(picture.pixels.shape[:2]) >= min(least, *whole)
    turned = name.endswith("6")
    assert (picture.width, picture.height) == (whole[::-1] if turned else whole)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_harms_no_pixels():
    broken = saved(photo(), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(40))
    assert np.array_equal(checked_image(broken).pixels, np.asarray(Image.open(BytesIO(broken))))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_the_first_frame_is_the_image(kind):
    lossless = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(
        checked_image(two(kind, **lossless)).pixels,
        checked_image(saved(photo(), kind, **lossless)).pixels,
    )


def test_transparency_is_white_and_16_bits_become_8():
    for mode, kind in product(("RGBA", "LA"), ("PNG", "WEBP", "TIFF")):
        clear = Image.new(mode, (4, 4), (9, 0) if mode == "LA" else (9, 9, 9, 0))
        if (mode, kind) != ("LA", "WEBP"):
            assert checked_image(saved(clear, kind)).pixels.min() == 255
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putpixel((0, 0), 0)
    for kind in ("PNG", "GIF"):
        pixels = checked_image(saved(palette, kind, transparency=0)).pixels
        assert pixels[0, 0].tolist() == [255] * 3 and pixels[2, 2].tolist() == [200, 0, 0]
    deep = np.linspace(0, 65535, 20).astype(np.uint16).reshape(4, 5)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(
            checked_image(saved(Image.fromarray(deep), kind)).pixels[..., 1], deep >> 8
        )


def test_a_wrong_extension_is_no_matter_and_the_format_that_of_the_bytes():
    # names never reach these functions; the format told is the one found
    every = (JPEG, PNG, GOOD["GIF"], GOOD["WebP"], GOOD["BMP"])
    found = [checked_image(data).format for data in every]
    assert found == ["JPEG", "PNG", "GIF", "WEBP", "BMP"]


def test_a_bomb_costs_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        before = peak_memory()
        for data in (png(50_000, 50_000), png(9_400, 9_400), resized(JPEG, 65_000, 65_000)):
            with pytest.raises(BadImage, match="too many pixels"):
                checked_image(data)
    assert peak_memory() - before < 50 << 20


def peak_memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_decode_fills_the_array_it_is_given():
    out = np.zeros((150, 201, 3), np.uint8)
    assert np.shares_memory(decode(JPEG, out), out) and np.array_equal(out, pillows(JPEG))
    assert np.array_equal(decode(memoryview(JPEG)), out)
    with pytest.raises(ValueError, match="too small"):
        decode(JPEG, out[:100])
    with pytest.raises(ValueError, match="Premature end"):
        decode(JPEG[:-50], out)


def test_square_is_what_pillow_alone_makes():
    for data in (JPEG, PROGRESSIVE, GOOD["JPEG turned 6"], GOOD["JPEG CMYK"], PNG):
        image = Image.open(BytesIO(data))
        image.draft(image.mode, (32, 32))
        assert square(data, 16) == squared(
            np.asarray(ImageOps.exif_transpose(image).convert("RGB")), 16
        )
    done = square(JPEG, 16)
    assert square(done, 16) is done and decode(done).shape == (16, 16, 3)
    for other in (
        saved(photo((16, 16), "L")),
        saved(photo((16, 16), "CMYK")),
        saved(photo((16, 16)), "PNG"),
    ):
        assert square(other, 16) != other


def test_real_photographs_decode_to_pillows_pixels(pack):
    files = sorted(pack("tinyimagenet_setA").rglob("*.JPEG"))[::600]
    assert len(files) > 40
    for path in files:
        data = path.read_bytes()
        assert np.array_equal(checked_image(data).pixels, pillows(data)), path
