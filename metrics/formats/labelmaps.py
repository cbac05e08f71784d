"""A folder of PNG label maps, one per image and of the same names in both folders.

A pixel is the number of its class: an index of a palette, or grey of 8 or 16 bits; 255 is unknown.
A PNG of colours is refused, for a colour is no number. Maps are decoded when a metric asks for
them.
"""

from pathlib import Path

from metrics.blocks.decoded import Decoded
from metrics.blocks.metric import Reads
from metrics.formats import pngs
from metrics.formats.files import known_only
from metrics.formats.pair import Pair


def read(
    predictions: Path, targets: Path, reads: Reads, common: bool = False, threads: int | None = None
) -> Pair:
    """The maps of both, in the order of their names; ValueError tells what is wrong.

    threads: that decode maps ahead; None: as many as there are processors.
    """
    threads = pngs.threads() if threads is None else threads
    given, true = _maps(predictions), _maps(targets)
    known_only(given, true, common, f"maps of {predictions} have no truth in {targets}")
    known_only(true, given, common, f"maps of {targets} have no prediction in {predictions}")
    names = [name for name in given if name in true]
    if not names:
        raise ValueError(f"no map of {predictions} has the name of one of {targets}")
    found = Decoded([given[name] for name in names], pngs.decoded_labels, threads)
    answers = Decoded([true[name] for name in names], pngs.decoded_labels, threads)
    return Pair({"semantic": found}, {"semantic": answers}, [], names)


def _maps(folder: Path) -> dict[str, Path]:
    """The PNGs below a folder, by their place in it without ending."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give the one that the label maps are in")
    files = {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() == ".png"
    }
    if not files:
        raise ValueError(f"{folder} has no PNG: a label map is one")
    return files
