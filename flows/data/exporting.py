"""A labelled set of boxes or panoptic maps in the format of other programs.

`python -m flows.version export --target NAME --format coco|voc|yolo|panoptic OUT` writes a folder
that is not there yet (of coco and panoptic also one .json with all splits in it).
"""

import argparse
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from corpus.names import printable
from flows.data.pointer import DATA

FORMATS = {"coco": "boxes", "voc": "boxes", "yolo": "boxes", "panoptic": "panoptic"}
WHOLE = ("coco", "panoptic")  # formats that one .json can hold


def export(target: str, format: str, out: str, images: bool = False) -> None:
    """Write the annotations of a set, and its images too where they are asked for.

    ValueError where the set is of another kind, or something is there already.
    """
    from corpus.export.pictures import write_pictures
    from corpus.export.stored import Stored
    from corpus.store.write import replacing

    path = Path(out)
    single = path.suffix == ".json"
    if path.exists():
        raise ValueError(f"{out} is there already: name another place, or remove it")
    if single and (images or format not in WHOLE):
        raise ValueError(f"{out}: a single .json is for {' and '.join(WHOLE)}, without --images")
    if path.name in ("", ".."):
        raise ValueError(f"{out!r} is no name of a new folder: give one")
    stored = Stored(DATA, target, FORMATS, format)
    write = getattr(import_module(f"corpus.export.{format}"), f"write_{format}")
    if single:
        done = _single(lambda place: write(stored, place), path)
    else:
        with replacing(path) as part:
            done = write(stored, part)
            if images:
                write_pictures(stored, part, format)
    print(f"{out}: {done.images:,} images, {done.objects:,} objects, {done.files:,} files")
    for note in done.notes:
        print(f"  note: {printable(note)}")


def _single(write: Callable[[Path], Any], path: Path) -> Any:
    """One .json, with the folder of PNGs beside it that a panoptic set has."""
    folder = path.with_suffix("")
    if folder.exists():
        raise ValueError(f"{folder} is there already: name another place, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as part:
        done = write(Path(part) / path.name)
        for made in sorted(Path(part).iterdir()):
            made.rename(path.parent / made.name)
    return done


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of the command line."""
    command.add_argument("--target", required=True, metavar="NAME", help="name of the set")
    command.add_argument("--format", required=True, choices=FORMATS, help="of the files")
    pictures = "write the images too, the bytes that were imported"
    command.add_argument("--images", action="store_true", help=pictures)
    command.add_argument("out", metavar="OUT", help="folder to write, or a .json (coco, panoptic)")
