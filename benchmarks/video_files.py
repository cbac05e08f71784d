"""Videos as people have them, drawn: moving textures, encoded with few key frames and B-frames."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

from corpus.reading.shards import Shards
from corpus.records.labelled import Label
from corpus.store.squares import open_store
from corpus.store.write import write_store
from corpus.targets import write_labelled

RATE = 30


class Videos(NamedTuple):
    """Which videos: px, number of frames, how many, frames from a key frame to the next at most."""

    width: int
    height: int
    frames: int
    count: int
    gop: int

    def __str__(self) -> str:
        seconds = self.frames / RATE
        return f"{self.width} x {self.height}, {seconds:.0f} s, a key frame in {self.gop}"


def textures(rng: np.random.Generator, videos: Videos) -> Iterator[np.ndarray]:
    """Frames uint8 (h, w, 3): two textures that drift over each other, and a camera's grain."""
    height, width = videos.height, videos.width
    layers, drifts = [], rng.integers(-3, 4, (2, 2))
    for cells in (6, 24):
        noise = rng.integers(0, 256, (cells, cells * width // height, 3), np.uint8)
        smooth = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        layers.append(np.asarray(smooth, np.float32))
    for number in range(videos.frames):
        moved = (
            np.roll(layer, drift * number, (0, 1))
            for layer, drift in zip(layers, drifts, strict=True)
        )
        grain = rng.normal(0, 3, (height, width, 1))
        yield np.clip(0.6 * next(moved) + 0.4 * next(moved) + grain, 0, 255).astype(np.uint8)


def mp4(rng: np.random.Generator, videos: Videos) -> bytes:
    """An H.264 file as x264 makes it by default, but for `gop`."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        options = {"g": str(videos.gop), "bf": "3", "crf": "23", "preset": "fast"}
        stream = file.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = videos.width, videos.height, "yuv420p"
        for pixels in textures(rng, videos):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def written(folder: Path, videos: Videos) -> tuple[list[Path], Path]:
    """(the files by id, shards of the same videos made by the stage's own code)."""
    folder.mkdir(parents=True)
    rng, files, records = np.random.default_rng(0), [], []
    for number in range(videos.count):
        path = folder / f"{number:03d}.mp4"
        path.write_bytes(mp4(rng, videos))
        files.append(path)
        about = {"label": f"class {number % 2}", "split": "train"}
        records.append(Label(id=f"{number:03d}", image=path.name, **about))
    store = folder / "store"
    write_store(store, ((r, (folder / r.image).read_bytes()) for r in records), kind="clips")
    size = min(videos.width, videos.height)
    opened = open_store("targets/drawn", store, size, folder / "cache", frame_rate=RATE)
    write_labelled(opened, folder / "shards", {"val": 0.0, "test": 0.0})
    order = {key: row for row, key in enumerate(Shards(folder / "shards", "train").ids)}
    return sorted(files, key=lambda path: order[path.stem]), folder / "shards"
