"""Clips of videos: which frames of each are read, at random or at fixed places, and where they lie.

A video is stored as JPEG frames, one after the other. The index says of each time slot of a video
where its frame ends, in bytes from the first frame on; a slot that ends where the one before does
repeats that one's frame.

Clips of consecutive frames: Feichtenhofer et al. 2019 (arXiv 1812.03982, section 4). Several of a
video that begin near each other: Feichtenhofer et al. 2021 (arXiv 2104.14558, section 3). Frames of
segments: Wang et al. 2016 (arXiv 1608.00859, section 3.1).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from corpus.reading.index import REPAIR, Lists

SEGMENTS = ("segments", "middles")
PLACES = ("random", "centre", "even", *SEGMENTS)


class Stored(Protocol):
    """What these readers need of Shards."""

    folder: Path
    ids: Any

    def lists(self, column: str) -> Any: ...
    def frames(self, indices: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[Tensor]: ...


def read_clip(
    stored: Stored,
    indices: np.ndarray,
    ends: str,
    draws: Any = None,
    frames: int = 8,
    every: int = 1,
    clips: int = 1,
    within: int | None = None,
    place: str = "random",
) -> list[Tensor]:
    """uint8 (clips, frames, h, w, 3) of each video, whose aspect was kept.

    ends: the list column of the ends of frames. The other options are those of `slots_of`.
    ValueError for options that make no sense, and names a video that is damaged.
    """
    listed = stored.lists(ends)
    counts = listed.offsets[indices + 1] - listed.offsets[indices]
    if not counts.all():
        key = stored.ids[int(indices[counts == 0][0])]
        raise ValueError(f"video {key!r} in {stored.folder} is damaged (no frame); {REPAIR}")
    slots = slots_of(counts, draws, frames, every, clips, within, place)
    found = stored.frames(
        indices, *bytes_of(listed, indices, slots.reshape(len(indices), clips * frames))
    )
    return [video.view(clips, frames, *video.shape[1:]) for video in found]


def slots_of(
    counts: np.ndarray,
    draws: Any,
    frames: int,
    every: int = 1,
    clips: int = 1,
    within: int | None = None,
    place: str = "random",
) -> np.ndarray:
    """Time slots int64 (n, clips, frames) of clips of n videos, of their numbers of slots.

    every: slots from a frame to the next. within: slots within which all clips of a video begin;
    None: anywhere. Both say nothing of segments.
    place: `random`: each begins anywhere it fits, in order of time; `centre`; `even`: from the
    first slot to the last that fits; `segments`: a random slot of each of `frames` equal parts of
    the video; `middles`: the middle slot of each part. A video too short for a clip repeats its
    last slot.
    ValueError for options that make no sense.
    """
    _check(draws, frames, every, clips, within, place)
    last = counts[:, None, None] - 1
    if place in SEGMENTS:
        # twice the place in the part, so that the middle is a whole number
        inside = np.ones((1, 1, 1))
        if place == "segments":
            inside = 2 * draws.rand(len(counts), clips, frames).double().numpy()
        spots = (2 * np.arange(frames) + inside) * (last + 1) // (2 * frames)
        shape = len(counts), clips, frames
        return np.broadcast_to(spots.astype(np.int64), shape)
    free = np.maximum(counts - (frames - 1) * every - 1, 0)[:, None]
    begin = BEGINS[place](free, draws, clips, within)
    return np.minimum(begin[..., None] + every * np.arange(frames), last)


def _check(draws: Any, frames: int, every: int, clips: int, within: int | None, place: str) -> None:
    for name, value, least in (
        ("frames", frames, 1),
        ("every", every, 1),
        ("clips", clips, 1),
        ("within", within, 0),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name}: {value} of clips is too few: give {least} or more")
    if place not in PLACES:
        raise ValueError(f"place: unknown {place!r} of clips; choose one of {', '.join(PLACES)}")
    if draws is None and place in ("random", "segments"):
        raise ValueError(
            f"place: {place} of clips is drawn, and there are no random numbers here: read it with "
            "`draws`, or give centre, even or middles"
        )


def _random(free: np.ndarray, draws: Any, clips: int, within: int | None) -> np.ndarray:
    """Any slot, or any of a window of `within` slots that is anywhere itself."""
    # float64: a product in float32 could be rounded up to the number of slots
    numbers = draws.rand(len(free), clips).double().numpy()
    # in their order in time, as in the authors' code: the first clip is the query
    numbers.sort(1)
    if within is None or clips == 1:
        return (numbers * (free + 1)).astype(np.int64)
    window = np.minimum(free, within)
    opens = draws.rand(len(free), 1).double().numpy() * (free - window + 1)
    return opens.astype(np.int64) + (numbers * (window + 1)).astype(np.int64)


def _centre(free: np.ndarray, draws: Any, clips: int, within: int | None) -> np.ndarray:
    return np.repeat(free // 2, clips, 1)


def _even(free: np.ndarray, draws: Any, clips: int, within: int | None) -> np.ndarray:
    if clips == 1:
        return free // 2
    return np.rint(free * np.arange(clips) / (clips - 1)).astype(np.int64)


# the first slot of each clip, int64 (n, clips), of how many slots later than the first it may be
BEGINS: dict[str, Callable[..., np.ndarray]] = {
    "random": _random,
    "centre": _centre,
    "even": _even,
}


def bytes_of(ends: Lists, indices: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the frames of slots (n, m) of n videos start and end, int64 (n, m) of each video's own
    bytes.
    """
    first = ends.offsets[indices][:, None]
    place = first + slots
    end = ends.flat[place].astype(np.int64)
    # the first slot with this end, by halves: many slots may repeat one frame
    low, high = np.broadcast_to(first, place.shape), place
    while (low < high).any():
        middle = (low + high) // 2
        there = ends.flat[middle] >= end
        low, high = np.where(there, low, middle + 1), np.where(there, middle, high)
    start = np.where(low > first, ends.flat[np.maximum(low - 1, first)], 0)
    return start.astype(np.int64), end


FORMS: dict[str, Callable[..., list[Tensor]]] = {"clip": read_clip}
