"""A video as frames of one rate: which frame each slot shows, its pixels, its sides, its turn."""

from fractions import Fraction
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from corpus.media.decoding import decode
from corpus.media.frames import Scaler, encode, first_frame, scaled_sides, slotted, stored_frames
from corpus.media.frametar import pack_frames
from corpus.media.timed import Picture, TimedFrame
from corpus.media.video import BadVideo, Clock, timed_frames
from tests.corpus.media.test_video import LOSSLESS, png
from tests.support.encoded import HEIGHT, WIDTH, drawn, encoded, film

RGB = {"codec": "libx264rgb", "pixels": "rgb24", "qp": "0"}
VARIABLE = [Fraction(n, 1000) for n in (0, 20, 21, 90, 230, 231, 300, 400, 401, 480, 481, 500)]


def stored(data: bytes, size: int = 64, rate: int = 30) -> tuple[list[np.ndarray], list[int]]:
    """(the frame that each slot shows, the ends of slots)."""
    out = BytesIO()
    found = stored_frames(data, size, rate, out)
    ends, whole = found.ends, out.getvalue()
    starts = {}
    for before, end in pairwise([0, *ends]):
        starts.setdefault(end, before)
    frames = [decode(whole[starts[end] : end]) for end in ends]
    assert all(frame.shape == (found.height, found.width, 3) for frame in frames)
    return frames, ends


def number(frame: np.ndarray) -> int:
    """Which drawn frame it is, by the place of its square."""
    row = frame[3 * HEIGHT // 8].astype(int)
    return int(np.argmax(np.convolve(row[:, 2], np.ones(8), "valid")))


def shown(times: list[Fraction], last: Fraction, rate: int, slack: Fraction) -> list[int]:
    """By brute force: slot by slot the last frame that begins before it, or with it."""
    found, slot = [], 0
    while Fraction(slot, rate) < last or not found:
        begun = [i for i, time in enumerate(times) if time - slack <= Fraction(slot, rate)]
        found.append(begun[-1])
        slot += 1
    return found


PACES = {
    "29.97": (Fraction(30000, 1001), None, None),
    "24": (Fraction(24), None, None),
    "60": (Fraction(60), None, None),
    "12.5": (Fraction(25, 2), None, None),
    "variable": (Fraction(30), VARIABLE, Fraction(1, 1000)),
}


@pytest.mark.parametrize("rate", [30, 15, 10])
@pytest.mark.parametrize("pace", PACES)
def test_a_slot_shows_the_last_frame_that_has_begun(pace, rate):
    each, times, clock = PACES[pace]
    data = encoded([drawn(i) for i in range(12)], times=times, rate=each, clock=clock, **RGB)
    times = times or [i / each for i in range(12)]
    *_, last = timed_frames(data, Clock(60))
    assert last.start == times[-1]
    frames, ends = stored(data, rate=rate)
    wanted = shown(times, last.end, rate, Fraction(0))
    assert [number(frame) for frame in frames] == wanted
    # a frame that is shown again has no bytes of its own
    assert [a == b for a, b in pairwise(ends)] == [a == b for a, b in pairwise(wanted)]


def test_a_clock_of_milliseconds_costs_no_slot():
    # 33, 67 and 100 ms are the frames of 1/30, 2/30 and 3/30 s
    for count in (1, 2, 30, 31):
        frames, ends = stored(film(count, **LOSSLESS))
        assert [number(frame) for frame in frames] == list(range(count))
        assert len(set(ends)) == count


@pytest.mark.parametrize("seed", range(4))
def test_slots_of_any_times_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        gaps = rng.integers(0, 90, rng.integers(1, 20)).tolist()
        starts = [Fraction(sum(gaps[:i]), 1000) for i in range(len(gaps))]
        end, slack = starts[-1] + Fraction(int(rng.integers(1, 90)), 1000), Fraction(1, 2000)
        timed = [TimedFrame(Picture(i), time, end, slack) for i, time in enumerate(starts)]
        found = [(picture.frame, count) for picture, count in slotted(timed, 30)]
        flat = [frame for frame, count in found for _ in range(count)]
        assert flat == shown(starts, end - 2 * slack, 30, slack)


@pytest.mark.parametrize(
    "how",
    [LOSSLESS, {"container": "avi", "codec": "ffv1", "pixels": "bgr0"}, RGB],
    ids=["mkv", "avi", "mp4"],
)
def test_lossless_frames_come_back_as_they_went_in(how):
    frames = [drawn(i, 47, 33) for i in range(3)]
    found = [timed.picture for timed in timed_frames(encoded(frames, **how), Clock(60))]
    for picture, frame in zip(found, frames, strict=True):
        assert np.array_equal(Scaler(64).pixels(picture), frame)
    # and as JPEG they are those of a tar of frames, but for what JPEG takes
    kept, _ = stored(encoded(frames, **how))
    packed, _ = stored(pack_frames((f"{i}.png", png(each)) for i, each in enumerate(frames)))
    assert all(map(np.array_equal, kept, packed))
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(kept, frames, strict=True)) < 2


@pytest.mark.parametrize("bounds", ["tv", "pc"])
def test_colours_come_back_whatever_the_range(bounds):
    flat = np.full((HEIGHT, WIDTH, 3), (200, 90, 30), np.uint8)
    pixels, codec = ("yuv420p", "libx264") if bounds == "tv" else ("yuvj420p", "mjpeg")
    container = "mp4" if bounds == "tv" else "mov"
    more = {"qp": "0"} if bounds == "tv" else {}
    data = encoded([flat] * 2, container=container, codec=codec, pixels=pixels, **more)
    for size in (64, 16):
        frame = first_frame(data, size)
        assert np.abs(frame.astype(int) - flat[0, 0]).max() <= 4


@pytest.mark.parametrize("turn", [0, 90, 180, 270, -90])
def test_a_display_matrix_turns_the_frame(turn):
    frame = drawn(3)
    data = encoded([frame], turn=turn, **RGB)
    wanted = np.rot90(frame, turn // 90)
    assert np.array_equal(first_frame(data, 64), wanted)
    assert first_frame(data, 16).shape == np.rot90(np.empty((16, 24, 3)), turn // 90).shape


def test_a_display_matrix_mirrors_the_frame():
    frame = drawn(3)
    for matrix, wanted in {
        (-1, 0, 0, 1): frame[:, ::-1],
        (1, 0, 0, -1): frame[::-1],
        (0, 1, 1, 0): frame.swapaxes(0, 1),
        (0, -1, -1, 0): frame[::-1, ::-1].swapaxes(0, 1),
    }.items():
        assert np.array_equal(Scaler(64).pixels(Picture(frame, matrix=matrix)), wanted)


def test_the_shorter_side_is_bounded_and_nothing_is_enlarged():
    assert scaled_sides(1920, 1080, Fraction(1), 128) == (228, 128)
    assert scaled_sides(1080, 1920, Fraction(1), 128) == (128, 228)
    assert scaled_sides(100, 50, Fraction(1), 128) == (100, 50)
    # PAL with 4:3: pixels are wider than high, so rows are taken away
    assert scaled_sides(720, 576, Fraction(16, 15), 576) == (720, 540)
    assert scaled_sides(720, 576, Fraction(16, 15), 270) == (360, 270)
    assert scaled_sides(1440, 1080, Fraction(3, 4), 1080) == (1080, 1080)
    assert scaled_sides(1, 4000, Fraction(1), 128) == (1, 4000)


def test_a_strip_longer_than_a_jpeg_is_refused():
    with pytest.raises(BadVideo, match="too many pixels: 70000 x 1 as JPEG"):
        Scaler(64).pixels(Picture(np.zeros((1, 70_000, 3), np.uint8)))
    strip = Picture(np.zeros((1, 65_500, 3), np.uint8))
    assert decode(encode(Scaler(64).pixels(strip))).shape == (1, 65_500, 3)


def test_pixels_that_are_not_square_are_shown_in_their_aspect():
    data = film(2, aspect=Fraction(4, 3))
    [frame, _], _ = stored(data, 24)
    assert frame.shape == (24, 48, 3)  # 48 x 32 of 4:3 is 64 x 32: 2 to 1


def test_a_smaller_frame_is_the_mean_of_what_it_covers():
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (8, 12, 3), np.uint8))
    frame = np.asarray(rough.resize((96, 64), Image.Resampling.BICUBIC))
    means = frame.reshape(16, 4, 24, 4, 3).mean((1, 3))
    video = first_frame(encoded([frame], **RGB), 16)
    folder = first_frame(pack_frames([("0.png", png(frame))]), 16)
    assert np.abs(video - means).mean() < 0.5 and np.abs(folder - means).mean() < 0.5


def test_frames_of_another_size_are_brought_to_that_of_the_first():
    frames = [drawn(0), drawn(1, 96, 64), drawn(2, 24, 48)]
    kept, _ = stored(pack_frames((f"{i}.png", png(each)) for i, each in enumerate(frames)))
    assert [frame.shape for frame in kept] == [(HEIGHT, WIDTH, 3)] * 3


def test_equal_frames_have_their_bytes_once():
    still = [drawn(0)] * 20 + [drawn(1)] * 10
    _, ends = stored(encoded(still, **RGB))
    assert len(ends) == 30 and len(set(ends)) == 2
