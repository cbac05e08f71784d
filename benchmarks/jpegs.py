"""JPEGs of three sizes from the real data packs, as shards and as a folder of files, for
benchmarks of reading them.
"""

import random
import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from corpus.media.decoding import decode
from corpus.media.squares import square
from tests.support.shards import write_shards

PACKS = {32: "cifar10", 64: "tinyimagenet_setA", 256: "tinyimagenet_setA"}


def photographs(pack: Path, count: int) -> Iterator[bytes]:
    """The first `count` JPEGs of a data pack."""
    with tarfile.open(pack) as tar:
        for member in tar:
            if count and member.isfile() and member.name.lower().endswith((".jpg", ".jpeg")):
                count -= 1
                yield tar.extractfile(member).read()
            if not count:
                return


def mosaic(photos: list[bytes], side: int, chance: random.Random) -> bytes:
    """A JPEG of side x side pixels tiled with photographs of 64 px."""
    canvas = Image.new("RGB", (side, side))
    for place in range((side // 64) ** 2):
        column, row = place % (side // 64), place // (side // 64)
        canvas.paste(
            Image.fromarray(decode(square(chance.choice(photos), 64))), (column * 64, row * 64)
        )
    out = BytesIO()
    canvas.save(out, "JPEG", quality=chance.randint(85, 92))
    return out.getvalue()


def drawn(size: int, count: int, distinct: int = 512) -> Iterator[tuple[str, bytes]]:
    """(class, JPEG) of random blots, of ten classes and so many pixels, where no photographs are
    at hand.

    Each of `distinct` stands there several times, which does not matter to a reader that keeps none
    of them.
    """
    chance, made = np.random.default_rng(0), []
    for _ in range(min(count, distinct)):
        blots, out = chance.integers(0, 256, (size // 4, size // 4, 3), np.uint8), BytesIO()
        Image.fromarray(blots).resize((size, size), Image.Resampling.BICUBIC).save(
            out, "JPEG", quality=90
        )
        made.append(out.getvalue())
    return ((str(i % 10), made[i % len(made)]) for i in range(count))


def written(folder: Path, photos: Iterable[tuple[str, bytes]], size: int) -> None:
    """The same (class, JPEG) as `folder`/shards and, squared alike, one by one in
    `folder`/train/<class>.
    """
    photos = [(label, square(photo, size)) for label, photo in photos]
    names = sorted({label for label, _ in photos})
    records = (
        (str(i), "train", photo, [names.index(label)]) for i, (label, photo) in enumerate(photos)
    )
    write_shards(folder / "shards", records, names, size)
    for name in names:
        (folder / "train" / name).mkdir(parents=True)
    for i, (label, photo) in enumerate(photos):
        (folder / "train" / label / f"{i:06d}.jpg").write_bytes(photo)


def sized(packs: Path, size: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` JPEGs of that size or, at 256 px, an eighth as many mosaics, of one class."""
    photos = list(photographs(packs / f"{PACKS[size]}.tar.xz", count))
    if size > 64:
        chance = random.Random(0)
        photos = [mosaic(photos, size, chance) for _ in range(count // 8)]
    return (("all", photo) for photo in photos)
