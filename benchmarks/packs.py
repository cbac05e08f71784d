"""The real data packs that recipes read: photographs by class, and what WordNet's nouns say of
these classes.
"""

import csv
import lzma
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from corpus.hashtags.normal import normalise

PHOTOS, NOUNS, CIFAR = "tinyimagenet_setA.tar.xz", "wordnet_nouns.tar.xz", "cifar10.tar.xz"
NEEDED = (PHOTOS, NOUNS, CIFAR)
FOLDER = Path("../shared/data")  # where `--packs` looks
BELOW = {PHOTOS: "tinyimagenet/setA/", CIFAR: "cifar10/t", NOUNS: "wordnet_nouns/wordnet_nouns.tsv"}


class Photo(NamedTuple):
    """One photograph of a pack: its part (train, val or test), class, file name and bytes."""

    part: str
    label: str
    file: str
    data: bytes


def check(packs: Path, needed: Sequence[str] = NEEDED) -> None:
    """ValueError that names the packs that lack."""
    lacking = [pack for pack in needed if not (packs / pack).is_file()]
    if lacking:
        cure = "name the folder that holds the packs with --packs"
        raise ValueError(f"{', '.join(lacking)} not found in {packs}: {cure}")


def members(packs: Path, pack: str, below: str | None = None) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of a pack that recipes read, or those below a folder, streamed,
    never extracted.
    """
    try:
        with tarfile.open(packs / pack, "r|xz") as tar:
            for info in tar:
                if info.isreg() and info.name.startswith(below or BELOW[pack]):
                    yield info.name, tar.extractfile(info).read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise ValueError(
            f"{pack} is damaged ({error}): copy it again into the folder that --packs names"
        ) from error


def photographs(packs: Path, pack: str) -> Iterator[Photo]:
    """The photographs of PHOTOS or CIFAR, in the order of the pack."""
    for name, data in members(packs, pack):
        yield Photo(*name.split("/")[-3:], data)


def write_nouns(packs: Path, path: Path) -> None:
    """Writes the table of WordNet's nouns, which the setting `wordnet` of the corpus stage
    reads.
    """
    [(_, table)] = members(packs, NOUNS)
    path.write_bytes(table)


def tag_forms(nouns: Path, wnids: Sequence[str], levels: int = 3) -> dict[str, dict[str, list]]:
    """`forms` and `hypernyms`, up to `levels` above, of corpus.sources.labelled for classes
    named `n01629819` ...

    The forms are the lemmas of a synset, the usual one first.
    """
    with nouns.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    synsets, known = {row["synset"]: row for row in rows}, {row["pwn30_wnid"]: row for row in rows}

    def forms(row: dict[str, str]) -> list[str]:
        found = map(normalise, row["members"].split("|"))
        return list(dict.fromkeys(filter(None, found)))

    def above(row: dict[str, str]) -> Iterator[list[list[str]]]:
        level = [row]
        for _ in range(levels):
            names = dict.fromkeys(
                name for row in level for name in row["hypernyms"].split(",") if name
            )
            level = [synsets[name] for name in names]
            yield [forms(row) for row in level]

    return {
        "forms": {wnid: forms(known[wnid]) for wnid in wnids},
        "hypernyms": {wnid: list(above(known[wnid])) for wnid in wnids},
    }
