"""A folder of frames as one member of a store: a tar of its images in order, without compression.

A folder has no clock: its frames are taken as RATE a second, or as many as the text of a first
member `rate` says.
"""

import tarfile
from collections.abc import Iterable
from io import BytesIO

RATE = 30
SAID = "rate"


def pack_frames(frames: Iterable[tuple[str, bytes]], rate: str = "") -> bytes:
    """The tar of (name, image) pairs in their order, the same bytes for the same frames."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in [(SAID, rate.encode())] * bool(rate) + list(frames):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    return out.getvalue()


def frame_places(data: bytes) -> tuple[str, list[tuple[int, int]]]:
    """(rate as it is said, or empty; offset and size of each frame) of a tar of frames.

    ValueError for a damaged tar, or one that holds anything but files.
    """
    rate, places = "", []
    try:
        with tarfile.open(fileobj=BytesIO(data), mode="r:") as tar:
            for info in tar:
                if info.isdir():
                    continue
                if not info.isreg():
                    raise ValueError("a member that is no file")
                if info.name == SAID and not places:
                    rate = data[info.offset_data : info.offset_data + info.size].decode()
                else:
                    places.append((info.offset_data, info.size))
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise ValueError(f"no tar of frames: {error}") from None
    if places and sum(places[-1]) > len(data):
        raise ValueError("a tar that is cut off")
    return rate, places
