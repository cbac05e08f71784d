"""Every video of a store once, as JPEG frames at a fixed rate: what training reads of it.

As squares are (corpus/store/squares.py): a cache shard per shard of the store. Its tar has one
member for each video, the frames one after the other.
"""

import hashlib
import tarfile
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from corpus.media.decoding import decode
from corpus.media.fingerprint import fingerprint
from corpus.media.frames import stored_frames
from corpus.media.video import BadVideo
from corpus.sources.rows import prefetch
from corpus.store.cached import whole, write_rows
from corpus.store.read import Shard, read_images
from corpus.store.side import code_slots, frame_bounds, seconds_apart
from corpus.store.write import add_file

METHOD = 1  # of decoding (corpus/media/frames.py) and of the fingerprints: a change makes all anew
HELD = 8 << 20  # bytes of a video's frames in memory; more are on disk until they are in the tar
FEW = 100  # videos that are decoded before other processes would have begun
SCHEMA = pa.schema(
    {
        "offset": pa.int64(),
        "size": pa.int32(),
        "sha256": pa.binary(32),
        "code": pa.binary(16),  # of the frame in the middle
        "reason": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "codes": pa.binary(),  # 16 bytes for each of at most CODES frames
        "apart": pa.int32(),  # seconds from one of these to the next
        "frame_ends": pa.list_(pa.int32()),
    }
)


class Decoded(NamedTuple):
    """A video's frames in a file, and what the index says of them; without frames the reason."""

    file: BinaryIO | None
    sha256: bytes
    reason: str = ""
    width: int = 0
    height: int = 0
    code: bytes = bytes(16)
    codes: bytes = b""
    apart: int = 1
    ends: tuple[int, ...] = ()

    def row(self, offset: int) -> tuple:
        """Its row of SCHEMA, the member of the tar being there."""
        place = (offset, self.ends[-1] if self.ends else 0, self.sha256, self.code, self.reason)
        return (*place, self.width, self.height, self.codes, self.apart, list(self.ends))


def make_frames(folder: Path, shard: Shard, size: int, rate: int, into: Path, threads: int) -> None:
    """Writes the cache shard `into` of a store's shard, whole or not at all.

    size: px of the shorter side at most; rate: frames a second. Runs wherever a Spread calls it:
    what it reads and writes has whole paths.
    """
    rows: list[tuple] = []
    with whole(into) as part:
        make = partial(_decoded, size, rate, part)
        with tarfile.open(part / "images.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            # few at a time: each holds a whole file in memory
            for found in prefetch(make, read_images(folder, shard), threads, ahead=threads):
                offset = 0
                if found.file:
                    with found.file as file:
                        offset = add_file(tar, f"{len(rows):06d}.mjpeg", file, found.ends[-1])
                rows.append(found.row(offset))
        write_rows(part, rows, SCHEMA)


def _decoded(size: int, rate: int, part: Path, member: tuple[str, bytes]) -> Decoded:
    data = member[1]
    digest = hashlib.sha256(data).digest()
    # closed by whoever writes it into the tar; a kill leaves nothing of it
    file = SpooledTemporaryFile(HELD, dir=part)  # noqa: SIM115
    try:
        found = stored_frames(data, size, rate, file)
        code, codes = frame_codes(file, np.array(found.ends), rate)
        file.seek(0)
        sides, apart = (found.width, found.height), seconds_apart(len(found.ends), rate)
        return Decoded(file, digest, "", *sides, code, codes, apart, tuple(found.ends))
    except BadVideo as error:
        file.close()
        return Decoded(None, digest, str(error))


def frame_codes(file: BinaryIO, ends: np.ndarray, rate: int) -> tuple[bytes, bytes]:
    """(fingerprint of the slot in the middle, fingerprints of `code_slots`)."""
    code = _code(file, ends, len(ends) // 2)
    slots = code_slots(len(ends), rate).tolist()
    return code, b"".join(_code(file, ends, slot) for slot in slots)


def _code(file: BinaryIO, ends: np.ndarray, slot: int) -> bytes:
    start, end = frame_bounds(ends, slot)
    file.seek(start)
    return fingerprint(decode(file.read(end - start))).tobytes()
