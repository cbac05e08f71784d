"""Videos of strangers: what is right is read, all else is refused with its reason, at once."""

import os
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.media import images
from corpus.media import video as module
from corpus.media.containers import container_of
from corpus.media.frames import stored_frames
from corpus.media.frametar import pack_frames
from corpus.media.video import BadVideo, Clock, checked_video, timed_frames
from tests.support.encoded import drawn, encoded, film, fragmented

GIF = {"container": "gif", "codec": "gif", "pixels": "rgb8"}
LOSSLESS = {"container": "matroska", "codec": "ffv1", "pixels": "bgr0"}
SAMPLE = "mmaction2/tests/data/test.mp4"
# of its frames 0, 10, 20 and 30, three decoders agreeing
MEANS = (116.466770, 121.106744, 118.696415, 110.486604)


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def folder(count: int = 3, rate: str = "", broken: int | None = None) -> bytes:
    frames = [png(drawn(number)) for number in range(count)]
    if broken is not None:
        frames[broken] = frames[broken][:60]
    return pack_frames([(f"{i}.png", frame) for i, frame in enumerate(frames)], rate)


def spoilt(data: bytes, start: int, count: int) -> bytes:
    """The bytes with some of them inverted."""
    middle = bytes(255 - byte for byte in data[start : start + count])
    return data[:start] + middle + data[start + count :]


def renamed(data: bytes, codec: bytes, to: bytes) -> bytes:
    """The mp4 whose table of samples names another codec: an unknown one, an encrypted stream."""
    assert codec in data
    return data.replace(codec, to)


RIGHT = {  # -> (width, height, usual ending, slots at 30 a second)
    "mp4 with frames of both directions": (film(bf="2", g="6"), (48, 32, "mp4", 12)),
    "mp4 in parts": (fragmented(film()), (48, 32, "mp4", 12)),
    "mov": (film(container="mov", codec="mjpeg", pixels="yuvj420p"), (48, 32, "mov", 12)),
    "avi": (film(container="avi", codec="mpeg4"), (48, 32, "avi", 12)),
    "mkv": (film(**LOSSLESS), (48, 32, "mkv", 12)),
    "webm": (film(container="webm", codec="libvpx-vp9"), (48, 32, "webm", 12)),
    "GIF": (film(**GIF, rate=10), (48, 32, "gif", 36)),
    "flv": (film(container="flv", codec="flv"), (48, 32, "flv", 12)),
    "wmv": (film(container="asf", codec="wmv2"), (48, 32, "wmv", 12)),
    "mpg": (film(container="mpeg", codec="mpeg2video"), (48, 32, "mpg", 12)),
    "ts": (film(container="mpegts", codec="mpeg2video"), (48, 32, "ts", 12)),
    "with sound": (film(audio=True), (48, 32, "mp4", 12)),
    "one frame": (film(1), (48, 32, "mp4", 1)),
    "turned by 90": (film(turn=90), (32, 48, "mp4", 12)),
    "turned by 180": (film(turn=180), (48, 32, "mp4", 12)),
    "turned by 270": (film(turn=270), (32, 48, "mp4", 12)),
    "odd sides": (
        encoded([drawn(i, 47, 33) for i in range(4)], **LOSSLESS),
        (47, 33, "mkv", 4),
    ),
    "a frame of 1 px": (encoded([drawn(0, 16, 16)[:1, :1]], **LOSSLESS), (1, 1, "mkv", 1)),
    "folder of frames": (folder(), (48, 32, "frames.tar", 3)),
    "folder of frames, 10 a second": (folder(rate="10"), (48, 32, "frames.tar", 9)),
    "folder of one frame": (folder(1), (48, 32, "frames.tar", 1)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_video_is_right(name):
    data, (width, height, ending, slots) = RIGHT[name]
    facts = checked_video(data)
    assert (facts.width, facts.height, facts.ending) == (width, height, ending)
    out = BytesIO()
    found = stored_frames(data, 64, 30, out)
    assert len(found.ends) == slots and found.ends[-1] == len(out.getvalue())
    assert (found.width, found.height) == (width, height)


MP4, LONG = film(), film(60, g="12", crf="10")
BAD = {  # -> the reason; of the whole file where the first frame is right
    "no byte": (b"", "empty"),
    "only zeros": (bytes(4096), "empty"),
    "text called .mp4": (b"hello, I am no film" * 9, "unknown format"),
    "playlist, which names a file": (
        b"#EXTM3U\nfile:///etc/passwd\n",
        "unknown format",
    ),
    "JPEG called .mp4": (png(drawn(0), "JPEG"), "an image"),
    "PNG called .mp4": (png(drawn(0)), "an image"),
    "GIF of one frame": (film(1, **GIF), "an image"),
    "zip called .mkv": (b"PK\3\4" + bytes(range(200)), "unknown format"),
    "mp4 without its index": (MP4[: len(MP4) // 2], "truncated"),
    "mp4 of which the index is cut": (MP4[:-40], "truncated"),
    "mp4 in parts, cut in the middle": (fragmented(LONG)[: len(LONG) // 2], "truncated"),
    "mp4 of no more than its first box": (MP4[:32], "truncated"),
    "avi that is cut off": (film(container="avi", codec="mpeg4")[:3000], "truncated"),
    "mkv that is cut off": (film(**LOSSLESS)[:3000], "truncated"),
    "GIF that is cut off": (film(**GIF)[:3000], "truncated"),
    "flv that is cut off": (film(container="flv", codec="flv")[:-40], "damaged"),
    "mkv of its header alone": (film(**LOSSLESS)[:5], "damaged"),
    "mp4 with a corrupt middle": (spoilt(LONG, len(LONG) // 2, 2000), "damaged"),
    "mp4 with a corrupt index": (spoilt(MP4, MP4.index(b"stbl"), 80), "unsupported codec"),
    "sound alone": (encoded([], audio=True), "no video stream"),
    "encrypted": (renamed(MP4, b"avc1", b"encv"), "unsupported codec"),
    "unknown codec": (renamed(MP4, b"avc1", b"wxyz"), "unsupported codec"),
    "no frame": (fragmented(MP4)[: fragmented(MP4).index(b"moof") - 4], "no frames"),
    "empty folder of frames": (pack_frames([]), "empty"),
    "folder of notes": (pack_frames([("a.txt", b"x")]), "damaged"),
    "folder with a broken frame": (folder(broken=2), "damaged"),
    "folder whose first frame is broken": (folder(broken=0), "damaged"),
    "folder of another pace": (folder(rate="fast"), "damaged"),
    "tar in a tar": (pack_frames([("a.tar", folder())]), "damaged"),
    "tar of frames that is cut off": (folder()[:900], "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_video_is_refused_with_its_reason(name):
    data, kind = BAD[name]
    with pytest.raises(BadVideo) as found:
        checked_video(data)
        stored_frames(data, 64, 30, BytesIO())
    assert found.value.kind == kind and len(str(found.value)) < 300, str(found.value)


@pytest.mark.parametrize(
    ("bound", "most", "kind"),
    [
        ("MAX_BYTES", 1000, "too many bytes"),
        ("MAX_PIXELS", 1000, "too many pixels"),
        ("MAX_SECONDS", 0.2, "too long"),
        ("MAX_FRAMES", 5, "too many frames"),
    ],
)
@pytest.mark.parametrize("data", [MP4, film(**GIF), folder(12)], ids=["mp4", "gif", "folder"])
def test_bounds_hold_for_each_container(monkeypatch, bound, most, kind, data):
    checked_video(data)
    monkeypatch.setattr(module, bound, most)
    if bound == "MAX_PIXELS":
        monkeypatch.setattr(images, bound, most)  # of a frame in a folder
    with pytest.raises(BadVideo) as found:
        list(timed_frames(data, Clock(60)))
    assert found.value.kind == kind


def test_a_file_has_so_much_time_and_no_more():
    for data in (LONG, folder(20)):
        with pytest.raises(BadVideo, match="takes too long: not decoded after 0 s"):
            stored_frames(data, 64, 30, BytesIO(), limit=0)
    with pytest.raises(BadVideo, match="takes too long"):
        checked_video(LONG, limit=0)


def test_spoilt_bytes_are_a_video_or_refused_and_nothing_else():
    rng = np.random.default_rng(0)
    for number in range(300):
        data = bytearray([*RIGHT.values()][number % len(RIGHT)][0])
        start = int(rng.integers(len(data)))
        end = min(len(data), start + int(rng.integers(1, 300)))
        data[start:end] = rng.integers(0, 256, end - start, np.uint8).tobytes()
        try:
            checked_video(bytes(data))
            found = stored_frames(bytes(data), 16, 30, BytesIO())
        except BadVideo:
            continue
        assert found.ends == sorted(found.ends) and found.ends[0] > 0


def test_what_an_image_begins_with_is_no_video():
    for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        assert container_of(png(drawn(0), form)) is None
    heic = b"\0\0\0\x18ftypheic" + bytes(300)
    assert container_of(heic) is None and container_of(MP4[:64]).name == "mov"


def test_frames_of_a_real_film_have_the_means_of_other_decoders():
    references = os.environ.get("METRICS_REFERENCES")
    if not references or not (Path(references) / SAMPLE).is_file():
        pytest.skip(f"METRICS_REFERENCES names no folder with {SAMPLE}")
    data = (Path(references) / SAMPLE).read_bytes()
    means, count = [], 0
    for count, timed in enumerate(timed_frames(data, Clock(600)), 1):
        assert timed.start == Fraction(count - 1, 30)
        if count in (1, 11, 21, 31):
            means.append(timed.picture.frame.to_ndarray(format="rgb24").mean())
    assert count == 300 and timed.picture.sides == (340, 256)
    assert means == pytest.approx(MEANS, abs=1e-6)
