"""The images that are most worth labelling, copied with a table whose labels are still to be typed.

Once they are, `python -m flows.version add --labels TABLE` takes the table; rows that were left
empty are counted there and left out.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import torch

from corpus.media.containers import container_of
from corpus.media.images import checked_image
from corpus.sources.unlabelled import NamedImage
from corpus.store.write import replacing
from engine.inference.choosing import SHARE, Doubtful
from flows.predicting.results import whole

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = {"JPEG": "jpg", "TIFF": "tif"}  # the others are called as their format
UNUSUAL = re.compile(r"[^\w.-]")
LONGEST = 60  # letters of an image's own name


class Suggested(NamedTuple):
    """An image to label: its row, what the network guesses, and how sure it is."""

    row: int
    guess: str
    margin: float


def suggest(batches: Iterable["pa.RecordBatch"], names: list[str], count: int) -> list[Suggested]:
    """Up to `count` of the rows that are kept, the one most worth labelling first."""
    doubtful, first = Doubtful(SHARE * count), 0
    guesses: dict[int, str] = {}
    for batch in batches:
        good = torch.from_numpy(batch["error"].is_null().to_numpy(zero_copy_only=False).copy())
        rows = first + good.nonzero().flatten()
        margin = torch.from_numpy(batch["margin"].to_numpy(zero_copy_only=False).copy())
        width = batch.schema.field("features").type.list_size
        values = batch["features"].values.to_numpy(zero_copy_only=False).reshape(-1, width)
        doubtful.add(rows, margin[good], torch.from_numpy(values.copy())[good])
        for row in doubtful.rows[doubtful.rows >= first].tolist():
            guesses[row] = _guess(batch["best"][row - first].as_py(), names)
        # of those that others have displaced nothing is kept
        guesses = {row: guesses[row] for row in doubtful.rows.tolist()}
        first += len(batch)
    margin = dict(zip(doubtful.rows.tolist(), doubtful.margin.tolist(), strict=True))
    return [Suggested(row, guesses[row], margin[row]) for row in doubtful.chosen(count)]


def _guess(best: list[int], names: list[str]) -> str:
    """The best name; nothing where no score has reached the threshold."""
    return names[best[0]] if best else ""


def write_suggestions(
    table: Path,
    suggested: list[Suggested],
    images: Iterable[NamedImage],
    media: str = "image",
) -> None:
    """Write the table, and the images, or videos, that it names into a folder beside it.

    images: all that were looked at, in their order.
    """
    folder = table.with_name(f"{table.stem}_{media}s")
    places = {each.row: place for place, each in enumerate(suggested)}
    rows: dict[int, tuple[str, str]] = {}
    with replacing(folder) as part:
        for number, image in enumerate(images):
            if number in places:
                name = _copied(image, part, places[number])
                rows[places[number]] = f"{folder.name}/{name}", image.name
    with whole(table) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([media, "label", "split", "guess", "margin", "source"])
        for place, each in enumerate(suggested):
            path, source = rows[place]
            # train: chosen because they are hard, they would make a test split harder than life
            out.writerow([path, "", "train", each.guess, f"{each.margin:.4f}", source])


def _copied(image: NamedImage, folder: Path, place: int) -> str:
    """The name of the file that an image was copied to."""
    data = image.read()
    found = container_of(data)
    kind = checked_image(data, 64).format if found is None else found.ending
    own = PurePosixPath(image.name.rpartition(":")[2]).stem[-LONGEST:]
    name = f"{place + 1:05d}-{UNUSUAL.sub('_', own)}.{ENDINGS.get(kind, kind.lower())}"
    (folder / name).write_bytes(data)
    return name
