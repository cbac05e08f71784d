"""A whole video as JPEG frames, one for each slot of 1/rate seconds: what training reads of it.

Slot k shows the last frame that begins at k/rate or before. Where the same frame is shown again its
bytes are not: `ends` of the two slots are one.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import BinaryIO, NamedTuple

import numpy as np
from av import FFmpegError
from av.video.reformatter import Interpolation as How
from av.video.reformatter import VideoReformatter
from PIL import Image
from simplejpeg import encode_jpeg

from corpus.media.squares import QUALITY
from corpus.media.timed import Picture, TimedFrame
from corpus.media.video import (
    DECODE_SECONDS,
    MAX_SECONDS,
    PROBE_SECONDS,
    BadVideo,
    Clock,
    timed_frames,
)

LONGEST = 65_500  # px of a JPEG's side, by libjpeg
MOST = (1 << 31) - 1  # bytes of a video's frames: their places are int32
# of FFmpeg's scaler: the mean of an area, the same pixels on every machine
SCALED = How.AREA | How.ACCURATE_RND | How.FULL_CHR_H_INT | How.FULL_CHR_H_INP | How.BITEXACT


class Frames(NamedTuple):
    """What was written: where each slot's frame ends, px of all frames."""

    ends: list[int]
    width: int
    height: int


def stored_frames(
    data: bytes, size: int, rate: int, out: BinaryIO, limit: float = DECODE_SECONDS
) -> Frames:
    """Writes a video's JPEG frames to `out`, one after the other. BadVideo where it cannot be used.

    size: px of the shorter side at most; never enlarged. rate: slots per second. limit: seconds of
    this thread's computing time.
    """
    scale, ends, at, last = Scaler(size), [], 0, b""
    frames = timed_frames(data, Clock(limit), size)
    for picture, count in slotted(frames, rate):
        jpeg = encode(scale.pixels(picture))
        if jpeg != last:
            at += len(jpeg)
            if at > MOST:
                raise BadVideo("too many bytes", f"its frames have more than {MOST:,} as JPEG")
            out.write(jpeg)
            last = jpeg
        ends += [at] * count
    return Frames(ends, *scale.sides)


def slotted(frames: Iterable[TimedFrame], rate: int) -> Iterator[tuple[Picture, int]]:
    """(frame, number of slots that show it), in order; frames that no slot shows are left out.

    The clock of a container may round times up, by `slack` at most: that costs no slot.
    """
    held, done = None, 0
    for frame in frames:
        until = _slots(frame.start - frame.slack, rate)
        if held and until > done:
            yield held.picture, until - done
            done = until
        held = frame
    if held:
        until = max(_slots(held.end - 2 * held.slack, rate), 1)
        if until > done:
            yield held.picture, until - done


def _slots(seconds: Fraction, rate: int) -> int:
    """Slots that begin before a time."""
    return min(max(0, ceil(seconds * rate)), MAX_SECONDS * rate)


def encode(pixels: np.ndarray) -> bytes:
    """RGB pixels, uint8 (h, w, 3), as JPEG; colours at half the places, as videos have them."""
    return encode_jpeg(pixels, quality=QUALITY, colorspace="RGB", colorsubsampling="420")


class Scaler:
    """Upright RGB pixels of a video's frames, all of one size."""

    def __init__(self, size: int):
        self.size = size
        self._scaled = VideoReformatter()
        self._coded = (0, 0)  # sides before the turn
        self.sides = (0, 0)

    def pixels(self, picture: Picture) -> np.ndarray:
        """uint8 (h, w, 3), contiguous. A frame of other sides than the first is brought to those.

        Frames that stay as they are have the pixels of PyAV's `rgb24`.
        """
        if self._coded == (0, 0):
            self._coded = scaled_sides(*picture.sides, picture.aspect, self.size)
            self.sides = self._coded[::-1] if picture.turned else self._coded
            if max(self.sides) > LONGEST:
                shown = "{} x {}".format(*self.sides)
                raise BadVideo(
                    "too many pixels", f"{shown} as JPEG, allowed are {LONGEST:,} a side"
                )
        if isinstance(picture.frame, np.ndarray):
            found = self._image(picture.frame)
        else:
            found = self._converted(picture)
        return np.ascontiguousarray(turned(found, picture.matrix))

    def _converted(self, picture: Picture) -> np.ndarray:
        width, height = self._coded
        try:
            if picture.sides == self._coded:
                return picture.frame.to_ndarray(format="rgb24")
            how = {"interpolation": int(SCALED), "threads": 1}
            return self._scaled.reformat(picture.frame, width, height, "rgb24", **how).to_ndarray()
        except (FFmpegError, ValueError) as error:
            fault = f"pixels of the format {picture.frame.format.name}: {error}"
            raise BadVideo("unsupported codec", fault) from None

    def _image(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[1::-1] == self._coded:
            return pixels
        # the mean of an area here too
        return np.asarray(Image.fromarray(pixels).resize(self._coded, Image.Resampling.BOX))


def scaled_sides(width: int, height: int, aspect: Fraction, size: int) -> tuple[int, int]:
    """Width and height in which a frame is stored, before its turn.

    aspect: of a pixel, width by height. The longer side of a pixel is shortened, so that nothing is
    enlarged; then the shorter side of the frame is at most `size`.
    """
    wide, high = Fraction(width), Fraction(height)
    if aspect > 1:
        high /= aspect
    elif aspect > 0:
        wide *= aspect
    by = min(Fraction(1), Fraction(size) / min(wide, high))
    return max(1, round(wide * by)), max(1, round(high * by))


def turned(pixels: np.ndarray, matrix: tuple[int, ...]) -> np.ndarray:
    """Pixels (h, w, 3) as the display matrix (a, b, c, d) places them, by right angles and mirrors.

    A pixel at (x, y) is shown at (a x + c y, b x + d y).
    """
    if not matrix:
        return pixels
    a, b, c, d = matrix
    if abs(b) > abs(a):
        pixels = pixels.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    pixels = pixels[:, ::-1] if across < 0 else pixels
    return pixels[::-1] if down < 0 else pixels


def first_frame(data: bytes, size: int) -> np.ndarray:
    """RGB pixels, uint8 (h, w, 3), of a video's first frame, as it is stored with this size."""
    frame = next(timed_frames(data, Clock(PROBE_SECONDS), size))
    return Scaler(size).pixels(frame.picture)
