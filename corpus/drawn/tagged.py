"""Drawn images of several classes each, to try a multi-label task out.

`python -m corpus.drawn.tagged FOLDER` writes images and a table of them, to be imported with
`--kind tags`; data/ stays as it is. A scene has one to four things, each of a kind of its own; its
tags are the classes of the drawn sample (a striped star) among them; one image in ten has none.
The bytes are the same on every x86-64 machine, as those of the sample.
"""

import csv
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from corpus.drawn.concepts import CLASSES, COLOURS, SETTINGS, SHAPES, TEXTURES
from corpus.drawn.painting import paint
from corpus.drawn.sample import PREFIX, SPLITS, TARGET
from corpus.drawn.scenes import Thing
from corpus.kinds.tags import Tagged
from corpus.sources.users import between, stream, zipf
from corpus.store.write import write_store

TAGGED = TARGET + 1  # random stream
Images = tuple[int, int, int]  # of train, val and test
IMAGES = (600, 200, 800)


def _kind(rng: np.random.Generator) -> tuple[str, str]:
    """Shape and texture of a thing: of a class, or in three of ten of any kind."""
    if rng.random() < 0.7:
        return CLASSES[int(rng.integers(len(CLASSES)))]
    return zipf(rng, list(SHAPES), 2), zipf(rng, list(TEXTURES), 2)


def _composed(rng: np.random.Generator) -> tuple[str, list[Thing]]:
    """A setting, and 1 to 4 things in corners of their own."""
    count, things = 1 + bisect((0.3, 0.65, 0.9), rng.random()), []
    for corner in rng.permutation(4)[:count].tolist():
        (shape, texture), colour = _kind(rng), zipf(rng, list(COLOURS), 3)
        radius = between(rng, 0.22, 0.28)
        x = 0.27 + 0.46 * (corner % 2) + between(rng, -0.06, 0.06)
        y = 0.27 + 0.46 * (corner // 2) + between(rng, -0.06, 0.06)
        things.append(Thing(shape, texture, colour, radius, x, y))
    return zipf(rng, list(SETTINGS), 3), things


def tag_records(seed: int, images: Images, size: int) -> Iterator[tuple[Tagged, bytes]]:
    """Records with their JPEGs of size x size, split after split; more begin with the same ones."""
    for number, (split, count) in enumerate(zip(SPLITS, images, strict=True)):
        for index in range(count):
            rng = stream(seed, TAGGED, number, index)
            setting, things = _composed(rng)
            kinds = {(thing.shape, thing.texture) for thing in things}
            tags = sorted(f"{texture} {shape}" for shape, texture in kinds & {*CLASSES})
            name = f"{PREFIX}tagged-{split}-{index:05d}"
            record = Tagged(id=name, image=f"{name}.jpg", tags=tags, split=split)
            yield record, paint(rng, setting, things, size)


def draw_tagged(store: Path, images: Images = IMAGES, seed: int = 0, size: int = 32) -> None:
    """Draws a data store of the kind tags, data/targets/<set>, in the place of an older one."""
    write_store(store, tag_records(seed, images, size), kind="tags")


def write_source(folder: Path, images: Images = IMAGES, seed: int = 0, size: int = 32) -> Path:
    """Draws images into a folder, which must be empty, and returns the table of them."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; name another folder, or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "tags.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "image", "tags", "split"])
        for record, data in tag_records(seed, images, size):
            (folder / record.image).write_bytes(data)
            tags = ";".join(record.tags) or "[]"
            rows.writerow([record.id, record.image, tags, record.split])
    return table


def main(folder: Path, train: int = 600, val: int = 200, test: int = 800, seed: int = 0) -> None:
    """Draw images of several classes each into FOLDER, with their table."""
    try:
        table = write_source(folder, (train, val, test), seed)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    command = "python -m flows.version add --kind tags --target things --labels"
    print(f"to have them as data/targets/things: {command} {table}")


if __name__ == "__main__":
    import typer

    typer.run(main)
