"""Drawn videos, encoded and decoded by PyAV in memory, and what becomes of them in other posts."""

from collections.abc import Callable
from fractions import Fraction
from io import BytesIO

import numpy as np
from PIL import Image

RATE, WIDTH, HEIGHT, SECONDS = 8, 64, 48, 8
Film = np.ndarray  # uint8 (t, h, w, 3), RATE frames a second


def resized(frames: Film, width: int, height: int) -> Film:
    some = [Image.fromarray(frame).resize((width, height)) for frame in frames]
    return np.stack([np.asarray(frame) for frame in some])


def scenery(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Boxes of all sizes, the larger below: edges, as in photographs, uint8 (height, width, 3)."""
    view = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    for size in np.geomspace(0.9, 0.06, 60):
        h, w = (rng.uniform(0.4, 1, 2) * size * (height, width)).astype(int) + 1
        y, x = (rng.uniform(-0.2, 1, 2) * (height, width)).astype(int).clip(0)
        view[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return view


def film(seed: int, seconds: int = SECONDS, speed: float = 1.0) -> Film:
    """Shots of two seconds, each with a camera that pans and a thing that moves."""
    rng, shots = np.random.default_rng(seed), []
    for _ in range(seconds // 2):
        view = scenery(rng, 2 * WIDTH, 2 * HEIGHT)
        pan, colour = rng.uniform(-0.5, 0.5, 2) * speed, rng.integers(0, 256, 3, np.uint8)
        for t in range(2 * RATE):
            x, y = round(32 + pan[0] * t), round(24 + pan[1] * t)
            frame = view[y : y + HEIGHT, x : x + WIDTH].copy()
            left = 10 + round(speed * t)
            frame[15:30, left : left + 12] = colour
            shots.append(frame)
    return np.stack(shots)


def encoded(frames: Film, rate: float = RATE, codec: str = "libx264", **options: str) -> bytes:
    """The bytes of an MP4."""
    import av

    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream(codec, Fraction(rate).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_type = "yuv420p", "NONE"
        stream.options = {"preset": "ultrafast", **options} if codec == "libx264" else options
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def seconds_of(data: bytes) -> list[np.ndarray]:
    """The frame that is shown at the start of each second."""
    import av

    with av.open(BytesIO(data)) as container:
        container.streams.video[0].thread_type = "NONE"
        shown: dict[int, np.ndarray] = {}
        for frame in container.decode(video=0):
            second = int(frame.time + 1e-6)
            if second not in shown:
                shown[second] = frame.to_ndarray(format="rgb24")
    return [shown[second] for second in sorted(shown)]


def brighter(frames: Film) -> Film:
    return np.clip(frames * 1.25 + 8, 0, 255).astype(np.uint8)


def with_logo(frames: Film) -> Film:
    frames = frames.astype(np.float64)
    corner = frames[:, 3:7, 50:59]
    corner += 0.6 * ((250, 240, 20) - corner)
    return frames.astype(np.uint8)


def grey(frames: Film) -> Film:
    return np.repeat(frames @ np.array([[0.299], [0.587], [0.114]]), 3, 3).astype(np.uint8)


def after_black(frames: Film) -> Film:
    return np.concatenate([np.zeros_like(frames[: 2 * RATE]), frames])


COPIES: dict[str, Callable[[Film], bytes]] = {
    "encoded at a low quality": lambda x: encoded(x, crf="36"),
    "encoded as MPEG-4": lambda x: encoded(x, codec="mpeg4", qscale="5"),
    "half the size": lambda x: encoded(resized(x, WIDTH // 2, HEIGHT // 2)),
    "twice the size": lambda x: encoded(resized(x, 2 * WIDTH, 2 * HEIGHT)),
    "mirrored": lambda x: encoded(x[:, :, ::-1]),
    "without the first two seconds": lambda x: encoded(x[2 * RATE :]),
    "without the last three seconds": lambda x: encoded(x[: -3 * RATE]),
    "brighter": lambda x: encoded(brighter(x)),
    "with a logo": lambda x: encoded(with_logo(x)),
    "grey": lambda x: encoded(grey(x)),
    "half the frames": lambda x: encoded(x[::2], RATE / 2),
    "after two black seconds": lambda x: encoded(after_black(x)),
}


def titled(frames: Film) -> Film:
    """Behind three seconds of a title card that all such films have, three seconds of it."""
    card = film(999, 2)[:1].repeat(3 * RATE, 0)
    return np.concatenate([card, frames[: 3 * RATE]])


def wall(frames: Film) -> Film:
    """What a film shows in front of a wall, which fills half of the picture."""
    frames = frames.copy()
    frames[:, :, : WIDTH // 2] = film(998, 2)[0][:, : WIDTH // 2]
    return frames


# what two films become that are no copies of each other
MISSES: dict[str, Callable[[Film, Film], tuple[Film, Film]]] = {
    "after the same black seconds": lambda x, y: (after_black(x), after_black(y)),
    "behind the same title card": lambda x, y: (titled(x), titled(y)),
    "a quarter in common": lambda x, y: (x, np.concatenate([x[: 2 * RATE], y[2 * RATE :]])),
    "played backwards": lambda x, y: (x, x[::-1]),
    "two seconds, played backwards": lambda x, y: (x[: 2 * RATE], x[: 2 * RATE][::-1]),
    "black": lambda x, y: (np.zeros_like(x), np.zeros_like(x[RATE:])),
    "before the same wall": lambda x, y: (wall(x), wall(y)),
    "in other colours": lambda x, y: (tinted(x, (9, 4, 3)), tinted(x, (3, 4, 9))),
}


def tinted(frames: Film, tint: tuple[float, float, float]) -> Film:
    """One brightness (BT.601) in a colour."""
    factors = np.array(tint) / (np.array(tint) @ (0.299, 0.587, 0.114))
    return (grey(frames) / 2 * factors).clip(0, 255).astype(np.uint8)
