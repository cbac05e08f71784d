"""Shards of videos whose frames are known: each frame says its video and its number."""

import tarfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from corpus.records.kind import BaseKind, class_lists
from corpus.store.indexing import IndexWriter
from corpus.store.write import add_member

COLUMNS = {
    "clip": {"read": "clip", "ends": "frame_ends"},
    "label": {"read": "class", "of": "targets"},
}


class Clips(BaseKind):
    """Labelled videos."""

    name = "clips"
    columns = COLUMNS


def frame(video: int, number: int, height: int = 16, width: int = 24) -> bytes:
    """A JPEG of one colour, which `said` reads again."""
    out = BytesIO()
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:] = 8 * (number % 30), 8 * video, 8 * (number // 30)
    Image.fromarray(pixels).save(out, "JPEG", quality=100, subsampling=0)
    return out.getvalue()


def said(clip: np.ndarray) -> np.ndarray:
    """(..., 2): the video and the number of each frame of pixels (..., h, w, 3)."""
    levels = np.rint(np.asarray(clip, float).mean((-3, -2)) / 8).astype(int)
    return np.stack([levels[..., 1], levels[..., 0] + 30 * levels[..., 2]], -1)


def write_clips(
    folder: Path,
    videos: Iterable[tuple[Sequence[bytes], Sequence[int]]],
    size: int = 16,
    per_shard: int = 4,
    names: Sequence[str] = ("left", "right"),
    splits: Sequence[str] = ("train",),
) -> Path:
    """Writes videos (JPEG frames, number of the frame of each slot, ascending), classes in turn.

    splits: of the videos, in turn.
    """
    folder.mkdir(parents=True)
    videos = list(videos)
    with IndexWriter(folder, Clips(), list(names), size) as index:
        for shard, first in enumerate(range(0, len(videos), per_shard)):
            places, listed = [], []
            with tarfile.open(folder / f"{shard:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for number, (frames, slots) in enumerate(videos[first : first + per_shard]):
                    data = b"".join(frames)
                    ends = np.cumsum([len(each) for each in frames])
                    offset = add_member(tar, f"{number:06d}.mjpeg", data)
                    split = splits[(first + number) % len(splits)]
                    places.append((f"v{first + number}", split, offset, len(data)))
                    listed.append(ends[list(slots)].tolist())
            columns = zip(*places, strict=True)
            table = dict(zip(("id", "split", "offset", "size"), columns, strict=True))
            count = len(places)
            classes = np.arange(first, first + count, dtype=np.int32) % len(names)
            lists = {"targets": class_lists(classes, np.ones(count, int))}
            lists["frame_ends"] = pa.array(listed, pa.list_(pa.int32()))
            index.add(shard, np.ones(count, bool), pa.table(table), lists)
    return folder
