"""Videos of strangers in, frames with their times out: bounds are checked before decoding.

FFmpeg decodes them through PyAV, from memory, in this thread alone, frame by frame, so that neither
memory nor time depends on what a file claims. A file that is cut off, or of which a part cannot be
decoded, is refused as a whole, as an image is. Sound is not looked at.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import NamedTuple

import av
from av import VideoStream
from av.container import InputContainer

from corpus.media.containers import Container, container_of, lacking
from corpus.media.faults import BadFile
from corpus.media.frametar import RATE, frame_places
from corpus.media.images import MAX_PIXELS, BadImage, DecodedImage, checked_image
from corpus.media.timed import Picture, TimedFrame, Times, display_matrix

MAX_BYTES = 200 << 20  # of a file
MAX_SECONDS = 1800  # that a video lasts
MAX_FRAMES = 250_000  # in the file, whatever their times
PROBE_SECONDS = 60  # of this thread's computing time, so that a busy machine refuses no more
DECODE_SECONDS = 3600
KINDS = (
    "empty",
    "unknown format",
    "an image",
    "no video stream",
    "unsupported codec",
    "truncated",
    "damaged",
    "no frames",
    "too many bytes",
    "too many pixels",
    "too long",
    "too many frames",
    "takes too long",
)
IMAGE_KINDS = "import it as labels or tags (of posts: as posts)"


class BadVideo(BadFile):
    """No video that can be used; its kind is one of KINDS."""

    kinds = KINDS


class VideoFacts(NamedTuple):
    """A video as its first frame and its container tell: upright px, seconds (0: not told)."""

    width: int
    height: int
    seconds: float
    container: str
    ending: str


class Clock:
    """Raises BadVideo when this thread has computed for more than `limit` seconds."""

    def __init__(self, limit: float):
        self.limit, self.began = limit, time.thread_time()

    def check(self) -> None:
        """Called between packets and between frames."""
        if time.thread_time() - self.began > self.limit:
            raise BadVideo("takes too long", f"not decoded after {self.limit:g} s of computing")


def checked_video(data: bytes, limit: float = PROBE_SECONDS) -> VideoFacts:
    """The facts of a video whose first frame can be decoded; BadVideo says why it cannot be used.

    What is damaged further on is seen when the whole of it is decoded.
    """
    found = checked_container(data)
    if found.name == "frames":
        return _checked_frames(data, found)
    with opened(data, found) as (container, stream):
        frames = _timed(container, stream, Clock(limit))
        first = next(frames, None)
        if first is None:
            raise _no_frames(found)
        if found.name == "gif" and next(frames, None) is None:
            raise BadVideo("an image", f"a GIF of one frame: {IMAGE_KINDS}")
        seconds = (container.duration or 0) / av.time_base
    width, height = first.picture.sides
    width, height = (height, width) if first.picture.turned else (width, height)
    return VideoFacts(width, height, seconds, *found)


def _no_frames(found: Container) -> BadVideo:
    return BadVideo("no frames", f"{found.ending} with a video stream of no frame")


def checked_container(data: bytes) -> Container:
    """The container of a file that is a whole video by its first bytes; else BadVideo."""
    if not data:
        raise BadVideo("empty", "0 bytes")
    if len(data) > MAX_BYTES:
        raise BadVideo("too many bytes", f"{len(data):,} bytes, allowed are {MAX_BYTES:,}")
    found = container_of(data)
    if found is None:
        if not any(data):
            raise BadVideo("empty", f"{len(data):,} bytes, all of them 0")
        raise _no_video(data)
    lack = lacking(data, found.name)
    if lack:
        raise BadVideo("truncated", f"cut off: {lack}")
    return found


def _no_video(data: bytes) -> BadVideo:
    try:
        image = checked_image(data)
    except BadImage:
        start = data[:12]
        formats = "mp4, mov, avi, mkv, webm, GIF, flv, wmv, mpg, ts, ogv"
        return BadVideo("unknown format", f"no video ({formats}): it starts with {start!r}")
    return BadVideo("an image", f"{image.format}, not a video: {IMAGE_KINDS}")


def _checked_frames(data: bytes, found: Container) -> VideoFacts:
    rate, places = _places(data)
    offset, size = places[0]
    picture = _image(data[offset : offset + size], 0)
    return VideoFacts(picture.width, picture.height, float(len(places) / rate), *found)


def _places(data: bytes) -> tuple[Fraction, list[tuple[int, int]]]:
    """Frames a second and the places of the frames, within bounds."""
    try:
        said, places = frame_places(data)
        rate = Fraction(said or RATE)
        if rate <= 0:
            raise ValueError(f"{said!r} frames a second")
    except (ValueError, ZeroDivisionError) as error:
        raise BadVideo("damaged", str(error)) from None
    if not places:
        raise BadVideo("no frames", "a folder or tar without an image")
    if len(places) > MAX_FRAMES:
        raise BadVideo("too many frames", f"{len(places):,}, allowed are {MAX_FRAMES:,}")
    if len(places) > MAX_SECONDS * rate:
        raise _too_long(len(places) / rate)
    return rate, places


def _image(data: bytes, number: int, least: int = 0) -> DecodedImage:
    try:
        return checked_image(data, least)
    except BadImage as error:
        kind = "too many pixels" if error.kind == "too many pixels" else "damaged"
        raise BadVideo(kind, f"frame {number + 1}: {error}") from None


def _too_long(seconds: Fraction) -> BadVideo:
    return BadVideo("too long", f"{float(seconds):,.0f} s, allowed are {MAX_SECONDS:,}")


@contextmanager
def opened(data: bytes, found: Container) -> Iterator[tuple[InputContainer, VideoStream]]:
    """(PyAV's container, its video stream), within bounds as far as the file tells them."""
    try:
        container = av.open(BytesIO(data), format=found.name, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise BadVideo("damaged", f"{found.ending} that cannot be opened: {_said(error)}") from None
    with container:
        streams = [one for one in container.streams.video if not _cover(one)]
        if not streams:
            raise BadVideo("no video stream", f"{found.ending} with {_others(container)}")
        stream = streams[0]
        if stream.codec_context is None:
            raise BadVideo("unsupported codec", f"{found.ending} of a codec that is not known here")
        _bounded(stream.codec_context.width, stream.codec_context.height)
        seconds = Fraction(container.duration or 0, av.time_base)
        if seconds > MAX_SECONDS:
            raise _too_long(seconds)
        stream.thread_type = "NONE"
        yield container, stream


def _cover(stream: VideoStream) -> bool:
    """Whether a stream is the picture of a sound file's sleeve."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _others(container: InputContainer) -> str:
    kinds = sorted({stream.type for stream in container.streams})
    return f"nothing but {', '.join(kinds)}" if kinds else "no stream"


def _bounded(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadVideo("too many pixels", f"{width} x {height}, allowed are {MAX_PIXELS:,}")


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def timed_frames(data: bytes, clock: Clock, least: int = 0) -> Iterator[TimedFrame]:
    """All frames of a video in the order in which they are shown; at least one, or BadVideo.

    least: of a folder of frames, px that both sides may be reduced to.
    """
    found = checked_container(data)
    walk = _folder(data, clock, least) if found.name == "frames" else _decoded(data, clock, found)
    number = 0
    for number, frame in enumerate(walk, 1):
        if number > MAX_FRAMES:
            raise BadVideo("too many frames", f"more than {MAX_FRAMES:,}")
        if frame.start > MAX_SECONDS:
            raise _too_long(frame.start)
        yield frame
    if not number:
        raise _no_frames(found)


def _folder(data: bytes, clock: Clock, least: int) -> Iterator[TimedFrame]:
    rate, places = _places(data)
    for number, (offset, size) in enumerate(places):
        clock.check()
        picture = _image(data[offset : offset + size], number, least)
        times = Fraction(number) / rate, Fraction(number + 1) / rate
        yield TimedFrame(Picture(picture.pixels), *times, Fraction(0))


def _decoded(data: bytes, clock: Clock, found: Container) -> Iterator[TimedFrame]:
    with opened(data, found) as (container, stream):
        yield from _timed(container, stream, clock)


def _timed(container: InputContainer, stream: VideoStream, clock: Clock) -> Iterator[TimedFrame]:
    times = Times(stream)
    for frame in _frames(container, stream, clock):
        _bounded(frame.width, frame.height)
        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        start, end = times.of(frame)
        picture = Picture(frame, aspect or Fraction(1), display_matrix(frame))
        yield TimedFrame(picture, start, end, times.slack)


def _frames(
    container: InputContainer, stream: VideoStream, clock: Clock
) -> Iterator[av.VideoFrame]:
    """Decoded frames, none of them with a fault; BadVideo at the first."""
    count = 0
    try:
        for packet in container.demux(stream):
            clock.check()
            if packet.is_corrupt:
                raise BadVideo("damaged", f"a part is missing after frame {count}")
            for frame in packet.decode():
                clock.check()
                if frame.is_corrupt:
                    raise BadVideo("damaged", f"frame {count + 1} cannot be decoded whole")
                count += 1
                yield frame
    except av.error.DecoderNotFoundError as error:
        raise BadVideo("unsupported codec", _said(error)) from None
    except (av.FFmpegError, ValueError, MemoryError) as error:
        if isinstance(error, BadVideo):
            raise
        raise BadVideo("damaged", f"after frame {count}: {_said(error)}") from None
