"""JPEGs of three sizes from the real data packs, as shards and as a folder of files, for benchmarks of reading them."""

import random
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from corpus.shards.images import decode, square
from corpus.shards.shards import write_shards

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
        canvas.paste(Image.fromarray(decode(square(chance.choice(photos), 64))), (column * 64, row * 64))
    out = BytesIO()
    canvas.save(out, "JPEG", quality=chance.randint(85, 92))
    return out.getvalue()


def written(folder: Path, packs: Path, size: int, count: int) -> None:
    """The same JPEGs as `folder`/shards and one by one in `folder`/files; an eighth of `count` at 256 px."""
    photos = list(photographs(packs / f"{PACKS[size]}.tar.xz", count))
    if size > 64:
        chance = random.Random(0)
        photos = [mosaic(photos, size, chance) for _ in range(count // 8)]
    photos = [square(photo, size) for photo in photos]
    write_shards(folder / "shards", ((str(i), "train", p, [0]) for i, p in enumerate(photos)), ["all"], size)
    (folder / "files" / "all").mkdir(parents=True)
    for i, photo in enumerate(photos):
        (folder / "files" / "all" / f"{i:06d}.jpg").write_bytes(photo)
