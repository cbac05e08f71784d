"""Every image of a store once, square and small: the pixels that training reads, whatever the
tags are. Of a kind whose annotations have places in the image (`square = False`) the aspect is kept
(corpus/media/kept.py); of a kind of videos there are frames instead (corpus/store/frames.py).

One square shard per shard of the store, kept by the digest of what it was made of, so that neither
new posts nor other settings of the vocabulary make an older one again, and a killed build goes on.
"""

import hashlib
import logging
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from corpus.checksums import damaged, read_checksums
from corpus.media.fingerprint import fingerprint
from corpus.media.images import BadImage
from corpus.media.kept import kept_picture
from corpus.media.squares import stored_square
from corpus.progress import Progress, unseen
from corpus.records.kind import BaseKind
from corpus.sources.rows import prefetch
from corpus.spread import Spread, in_turn
from corpus.store.cached import whole, write_rows
from corpus.store.read import Shard, kind_of, read_images, read_table, shards_of
from corpus.store.side import Side, SquareShard
from corpus.store.write import add_member

log = logging.getLogger("tagdag")

METHOD = 1  # of squaring (corpus/media/squares.py) and of the fingerprint: a change makes all anew
KEPT = f"{METHOD}-kept-1"  # and of what is stored with its aspect (corpus/media/kept.py)
FEW = 4000
THREADS = 2  # of one process: decoding lets the other run
INDEX = pa.schema(
    {
        "offset": pa.int64(),
        "size": pa.int32(),
        "sha256": pa.binary(32),
        "code": pa.binary(16),
        "reason": pa.string(),
    }
)
# and px of the upright originals, 0 of those that are no image
SIDES = pa.schema([*INDEX, pa.field("width", pa.int32()), pa.field("height", pa.int32())])


def _square(size: int, member: tuple[str, bytes]) -> tuple[bytes, bytes, bytes, str]:
    """(square JPEG, SHA-256 of the bytes, fingerprint, why there is no square) of one image."""
    data = member[1]
    digest = hashlib.sha256(data).digest()
    try:
        square, pixels = stored_square(data, size)
        return square, digest, fingerprint(pixels).tobytes(), ""
    except BadImage as error:
        return b"", digest, bytes(16), str(error)


def _kept(size: int, member: tuple[str, bytes]) -> tuple[bytes, bytes, bytes, str, int, int]:
    """As `_square`, of an image that keeps its aspect, with width and height of the original."""
    data = member[1]
    digest = hashlib.sha256(data).digest()
    try:
        jpeg, pixels, sides = kept_picture(data, size)
        return jpeg, digest, fingerprint(pixels).tobytes(), "", *sides
    except BadImage as error:
        return b"", digest, bytes(16), str(error), 0, 0


def make_squares(
    folder: Path, shard: Shard, size: int, into: Path, threads: int, square: bool = True
) -> None:
    """Writes the square shard `into`, whole or not at all; folders may be read by other processes.

    square: False where images keep their aspect. Runs wherever a Spread calls it: what it reads and
    writes has whole paths.
    """
    rows: list[tuple] = []
    make, schema = (_square, INDEX) if square else (_kept, SIDES)
    with whole(into) as part:
        with tarfile.open(part / "images.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for jpeg, *others in prefetch(partial(make, size), read_images(folder, shard), threads):
                offset = add_member(tar, f"{len(rows):06d}.jpg", jpeg) if jpeg else 0
                rows.append((offset, len(jpeg), *others))
        write_rows(part, rows, schema)


def memory_of(cache: Path) -> Path:
    """The file, beside the cache, that remembers which of its files were hashed."""
    return cache.with_name(f"{cache.name}.sha256.json")


def cached_files(cache: Path) -> Iterator[tuple[Path, str]]:
    """All files of the cache with the SHA-256s that they were written with."""
    for folder in sorted(path for path in cache.glob("[!.]*") if path.is_dir()):
        with suppress(
            ValueError
        ):  # of an unfinished or older one, which is made again when it is wanted
            yield from ((folder / name, sha256) for name, sha256 in read_checksums(folder).items())


def intact(folder: Path, memory: Path) -> bool:
    """Whether a square shard is there, and as it was written.

    A damaged one is told, and is to be made again.
    """
    try:
        bad = damaged(
            [(folder / name, sha256) for name, sha256 in read_checksums(folder).items()], memory
        )
    except ValueError as error:
        bad = [error] if folder.exists() else []
    for each in bad:
        log.warning("%s: the square images are made again", each)
    return folder.exists() and not bad


class Making(NamedTuple):
    """How the images of a kind are stored: the end of a cache folder's name, and what makes one.

    make: called with store, shard, `before`, the folder, threads, `behind`.
    """

    key: str
    make: Callable[..., None]
    before: tuple
    behind: tuple = ()
    few: int = FEW  # images that are made before other processes would have begun


def making(kind: BaseKind, size: int, frame_rate: int) -> Making:
    """Squares, images that keep their aspect, or the frames of videos."""
    if kind.media == "video":
        # here, and not above: PyAV is for those who have videos
        from corpus.store import frames

        key = f"{size}-{frame_rate}-frames-{frames.METHOD}"
        return Making(key, frames.make_frames, (size, frame_rate), few=frames.FEW)
    method = METHOD if kind.square else KEPT
    return Making(f"{size}-{method}", make_squares, (size,), (kind.square,))


def squares_of(
    store: Path,
    made: Making,
    cache: Path,
    spread: Spread = in_turn,
    progress: Progress = unseen,
) -> list[SquareShard]:
    """The square shards of a store, in its order.

    Those of `cache` are used again where they are intact, the others are made by `spread`.
    """
    shards = shards_of(store)
    found = [SquareShard(one, cache / f"{one.tar[:24]}-{made.key}") for one in shards]
    # by their folders: two shards may hold the same images
    missing = {one.folder: one for one in found if not intact(one.folder, memory_of(cache))}
    total = sum(shard.records for shard in shards)
    done = total - sum(one.shard.records for one in missing.values())

    def told(place: int) -> None:
        nonlocal done
        done += wanted[place].shard.records
        progress(done, total, f"{store.name}: images")

    wanted = list(missing.values())
    few = total - done < made.few or len(wanted) == 1
    by = in_turn if few else spread
    threads = 1 if by.workers > 1 else THREADS
    calls = []
    for one in wanted:
        where = one.folder.resolve()
        calls.append((store.resolve(), one.shard, *made.before, where, threads, *made.behind))
    by.map(made.make, calls, told)
    return found


def forget_unused(cache: Path, used: list[SquareShard]) -> None:
    """Removes from the cache what nothing uses any more."""
    keep = {squares.folder.name for squares in used}
    for folder in cache.glob("*") if cache.exists() else ():
        if folder.is_dir() and folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


class Store(NamedTuple):
    """A store with its square images: `hashtags`, or `targets/<set>`."""

    name: str
    kind: BaseKind
    folder: Path
    squares: list[SquareShard]
    ids: pa.ChunkedArray
    side: Side
    frame_rate: int = 30  # of videos


def open_store(
    name: str,
    folder: Path,
    size: int,
    cache: Path,
    spread: Spread = in_turn,
    progress: Progress = unseen,
    frame_rate: int = 30,
) -> Store:
    """The images of a store made square, those of an earlier build taken again.

    Of a kind of videos: their frames, `frame_rate` of them a second.
    """
    kind = kind_of(folder, name)
    squares = squares_of(folder, making(kind, size, frame_rate), cache, spread, progress)
    ids = [read_table(folder, one.shard, {"id": pa.string()})["id"] for one in squares]
    column = pa.chunked_array([chunk for part in ids for chunk in part.chunks], pa.string())
    return Store(name, kind, folder, squares, column, Side(squares, size, frame_rate), frame_rate)


def link_tars(store: Store, into: Path) -> dict[str, str]:
    """The tars of a store's square images in `into`, as hard links: not stored twice.

    Their names and SHA-256s.
    """
    sums = {}
    for one in store.squares:
        sums[f"{one.shard.name}.tar"] = read_checksums(one.folder)[one.tar.name]
        try:
            os.link(one.tar, into / f"{one.shard.name}.tar")
        except OSError:  # another file system, or one without links
            shutil.copyfile(one.tar, into / f"{one.shard.name}.tar")
    return sums
