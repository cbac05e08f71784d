"""A decoded frame of a video: its pixels, how they are meant, when it is shown."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from av import VideoFrame, VideoStream

from corpus.media.frametar import RATE


class Picture(NamedTuple):
    """A decoded frame: FFmpeg's, or RGB pixels of an image; how its sides and its turn are meant.

    aspect: width of a pixel by its height. matrix: of the display, as FFmpeg has it; none: upright.
    """

    frame: VideoFrame | np.ndarray
    aspect: Fraction = Fraction(1)
    matrix: tuple[int, ...] = ()

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height of the pixels as they are coded."""
        if isinstance(self.frame, np.ndarray):
            return self.frame.shape[1], self.frame.shape[0]
        return self.frame.width, self.frame.height

    @property
    def turned(self) -> bool:
        """Whether width and height change places."""
        return bool(self.matrix) and abs(self.matrix[1]) > abs(self.matrix[0])


class TimedFrame(NamedTuple):
    """A frame and when it is shown, in seconds from the first: `start`, `end` where known.

    `slack`: of the container's clock, half a tick of it, at most half a millisecond.
    """

    picture: Picture
    start: Fraction
    end: Fraction
    slack: Fraction


def display_matrix(frame: VideoFrame) -> tuple[int, ...]:
    """(a, b, c, d) of a frame's display matrix, whose 1 is 65,536; nothing where it has none."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
            return (a, b, c, d)
    return ()


class Times:
    """When each frame is shown, from the first on, as exact fractions of a second.

    A frame without a time comes after the one before it at the stream's usual pace, and time never
    goes back.
    """

    def __init__(self, stream: VideoStream):
        self.tick = stream.time_base or Fraction(1, 1000)
        pace = stream.average_rate or stream.guessed_rate
        self.usual = 1 / pace if pace else Fraction(1, RATE)
        self.slack = min(self.tick / 2, Fraction(1, 2000))
        self.first: Fraction | None = None
        self.last = Fraction(0)

    def of(self, frame: VideoFrame) -> tuple[Fraction, Fraction]:
        """Start and end of a frame."""
        tick = frame.time_base or self.tick
        if frame.pts is None:
            start = Fraction(0) if self.first is None else self.last + self.usual
            self.first = Fraction(0) if self.first is None else self.first
        else:
            self.first = frame.pts * tick if self.first is None else self.first
            start = max(frame.pts * tick - self.first, self.last)
        self.last = start
        lasts = frame.duration * tick if frame.duration else self.usual
        return start, start + lasts
