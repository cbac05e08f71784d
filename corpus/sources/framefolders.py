"""A video as a folder of frames: its images in the order of their names, 2 before 10.

A folder is one where a table names it, or where it lies below a class folder and holds images (GIFs
are videos themselves). Its frames come RATE a second (corpus/media/frametar.py), or as many as the
column `fps` of the table says.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path

from corpus.media.frametar import pack_frames
from corpus.sources import s3
from corpus.sources.entries import nobodys
from corpus.sources.formats import IMAGES, named_video
from corpus.sources.rows import MAX_BYTES, Refused

PREFIX = "frames:"  # of a locator that names a folder: frames:<a second, or nothing>:<locator>
RATE = re.compile(r"\d{1,6}(\.\d{1,6})?(/\d{1,6})?")
MOST = 250_000  # frames of a folder
_DIGITS = re.compile(r"(\d+)")


def is_frame(name: str) -> bool:
    """Whether a name is that of a frame: a picture's, but no GIF's."""
    ending = name.rpartition(".")[2].lower()
    return ending in IMAGES and ending != "gif" and not nobodys(name)


def frame_names(names: Collection[str], others: Collection[str]) -> set[str]:
    """The frames among the files of a folder, none where it holds a video; `others` are no files.

    What is no frame, and no folder, goes on as a file of its own.
    """
    found = {name for name in names if name not in others and is_frame(name)}
    return set() if any(map(named_video, names)) else found


def frames_locator(locator: str, name: str, rate: str = "") -> str:
    """The locator of what a table names: of a folder with PREFIX.

    rate: of its frames, if it is said. Refused where that is none.
    """
    remote = locator.startswith("s3://")
    folder = name.endswith("/") if remote else Path(locator).is_dir()
    if named_video(name) or not folder:
        return locator
    if rate and not RATE.fullmatch(rate):
        raise Refused(f"fps that is no number: {rate[:40]!r}")
    return f"{PREFIX}{rate}:{locator}"


def in_order(name: str) -> tuple:
    """The key by which names of frames are sorted: numbers by their value."""
    parts = _DIGITS.split(name)
    return tuple((int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)), name


def packed(locator: str, read: Callable[[str], bytes]) -> bytes:
    """The frames of a folder as one tar; `read` gives the bytes of a locator without PREFIX.

    Refused where there is no frame, or too much of them.
    """
    rate, _, folder = locator.removeprefix(PREFIX).partition(":")
    names = sorted(filter(is_frame, _names(folder)), key=in_order)
    if not names:
        raise Refused("a folder without a frame (an image that is no GIF)")
    if len(names) > MOST:
        raise Refused(f"a folder of {len(names):,} frames, allowed are {MOST:,}")
    frames, total = [], 0
    for name in names:
        data = read(f"{folder.rstrip('/')}/{name}")
        total += len(data)
        if total > MAX_BYTES:
            raise Refused(f"a folder of frames of more than {MAX_BYTES:,} bytes")
        frames.append((f"{len(frames):06d}.{name.rpartition('.')[2].lower()}", data))
    return pack_frames(frames, rate)


def _names(folder: str) -> list[str]:
    """Names of the files directly in a folder, or under an s3:// prefix."""
    if folder.startswith("s3://"):
        start = f"{folder.rstrip('/')}/"
        return [key[len(start) :] for key in s3.keys(start) if "/" not in key[len(start) :]]
    return [path.name for path in Path(folder).iterdir()]
