"""Videos made in memory, small and known to the pixel."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from io import BytesIO

import av
import numpy as np

WIDTH, HEIGHT = 48, 32


def drawn(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frame `number`, uint8 (h, w, 3): its number in a ramp of its own, a square that moves."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(20, 230, width).astype(np.uint8)
    pixels[..., 1] = 40 * (number % 5) + 20
    pixels[height // 4 : height // 2, number % (width - 8) : number % (width - 8) + 8] = 250
    return pixels


def encoded(
    frames: Iterable[np.ndarray],
    container: str = "mp4",
    codec: str = "libx264",
    times: Sequence[Fraction] | None = None,
    rate: Fraction | int = 30,
    pixels: str = "yuv420p",
    turn: int = 0,
    aspect: Fraction | None = None,
    clock: Fraction | None = None,
    audio: bool = False,
    **options: str,
) -> bytes:
    """A video of RGB frames; `times`: of each, in seconds, else `rate` a second.

    turn: degrees of the display matrix; clock: time base of the frames.
    """
    out, frames = BytesIO(), list(frames)
    clock = clock or 1 / Fraction(rate)
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=Fraction(rate)) if frames else None
        sound = file.add_stream("aac", rate=8000) if audio else None
        if stream:
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt, stream.options = pixels, options
            stream.codec_context.time_base = clock
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            if turn:
                stream.set_display_rotation(turn)
        for number, each in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(each), "rgb24")
            when = Fraction(number) / rate if times is None else times[number]
            frame.pts, frame.time_base = round(when / clock), clock
            file.mux(stream.encode(frame))
        if stream:
            file.mux(stream.encode())
        if sound:
            file.mux(sound.encode(_silence()))
            file.mux(sound.encode())
    return out.getvalue()


def _silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts = 8000, 0
    return frame


def film(count: int = 12, first: int = 0, **options) -> bytes:
    """A video of `count` drawn frames."""
    return encoded([drawn(first + number) for number in range(count)], **options)


def fragmented(data: bytes) -> bytes:
    """The frames of an mp4 in one whose index comes first, in parts: half of it can be opened."""
    out, options = BytesIO(), {"movflags": "frag_keyframe+empty_moov"}
    with av.open(BytesIO(data)) as source, av.open(out, "w", "mp4", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out.getvalue()
