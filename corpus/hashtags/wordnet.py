"""Nouns of a WordNet file the user names, found by the letters of a hashtag.

Three formats: Princeton's database files, wndb(5WN) (`data.noun`, or the `dict` folder with
index.noun and noun.exc); Open English WordNet as GWN-LMF XML (.xml, .xml.gz); a tab-separated table
with the columns synset and members, and pwn30_wnid where known. A hashtag finds every synset with a
lemma of the same letters: #brownbear finds `brown bear`, which is matching each way to put blanks
into it (Mahajan et al. 2018, section 2.1). Plurals by the noun rules of morphy(7WN) and the file's
own exceptions.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from corpus.hashtags.lmf import read_nouns
from corpus.hashtags.normal import normalise

DETACH = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
)
DETACH = (*DETACH, ("ies", "y"))  # morphy's, in its order
SHORTEST = 3  # letters of a noun that a plural may stand for: #has, #his are no plurals
_PAIRS = """
    calves-calf children-child dice-die elves-elf feet-foot fungi-fungus geese-goose halves-half
    knives-knife leaves-leaf lice-louse lives-life loaves-loaf mice-mouse oxen-ox scarves-scarf
    shelves-shelf hooves-hoof teeth-tooth thieves-thief wives-wife wolves-wolf cacti-cactus
    octopi-octopus
"""
IRREGULAR = dict(pair.split("-") for pair in _PAIRS.split())  # for files without exceptions
FORMATS = (
    "Princeton's data.noun (or its dict folder), GWN-LMF XML (.xml, .xml.gz), "
    "or a table with synset<TAB>members"
)


class Synset(NamedTuple):
    """One meaning: its id in the file (ImageNet's wnid n02132136 where the file tells it),
    lemmas, definition.
    """

    id: str
    lemmas: tuple[str, ...]
    gloss: str


class WordNet:
    """Noun synsets, found by the letters of their lemmas.

    `senses` gives (lemma, number of the sense, number of the synset) or is None where the file has
    no sense order: then a tag's synsets come in the file's order, and `ordered` is False.
    """

    def __init__(
        self,
        synsets: list[Synset],
        senses: Iterable[tuple[str, int, int]] | None,
        exceptions: Iterable[tuple[str, str]] = (),
    ):
        self.synsets, self.ordered = synsets, senses is not None
        if senses is None:
            senses = ((lemma, 0, i) for i, synset in enumerate(synsets) for lemma in synset.lemmas)
        found: dict[str, list[tuple[int, int]]] = {}
        keys: dict[str, str | None] = {}
        for lemma, rank, synset in senses:
            key = keys[lemma] if lemma in keys else keys.setdefault(lemma, normalise(lemma))
            if key:
                found.setdefault(key, []).append((rank, synset))
        self.strings = len({lemma.lower() for lemma in keys})
        self._found: dict[str, tuple[int, ...]] = {}
        for key, ranked in found.items():
            self._found[key] = tuple(dict.fromkeys(synset for _, synset in sorted(ranked)))
        pairs = ((normalise(plural), normalise(noun)) for plural, noun in exceptions)
        self._exceptions = IRREGULAR | {plural: noun for plural, noun in pairs if plural and noun}

    def __contains__(self, tag: str) -> bool:
        return tag in self._found

    def find(self, tag: str) -> tuple[int, ...]:
        """Numbers of the synsets that the letters of a normalised tag name, first sense first.

        () if none.
        """
        return self._found.get(tag, ())

    def singular(self, tag: str) -> str | None:
        """The noun that a normalised tag is the plural of; None if the file knows no such noun."""
        noun = self._exceptions.get(tag)
        if noun in self._found:
            return noun
        if not tag.endswith("ss"):
            for ending, instead in DETACH:
                noun = tag.removesuffix(ending) + instead
                if tag.endswith(ending) and len(noun) >= SHORTEST and noun in self._found:
                    return noun
        return None

    def ids(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """The ids of synsets."""
        return tuple(self.synsets[number].id for number in numbers)


def read_wordnet(path: str | Path) -> WordNet:
    """The nouns of a file or folder in one of the FORMATS.

    ValueError with cause and fix if it is none, or damaged.
    """
    path = Path(path)
    if path.is_dir():
        nouns = [
            folder / "data.noun"
            for folder in (path, path / "dict")
            if (folder / "data.noun").is_file()
        ]
        if not nouns:
            raise ValueError(
                f"{path}: no data.noun in this folder; name a file or folder of {FORMATS}"
            )
        path = nouns[0]
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name a file or folder of {FORMATS}")
    try:
        with path.open("rb") as file:
            head = file.read(512)
        network = _reader(head, path)(path)
    except (
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        UnicodeDecodeError,
        csv.Error,
        expat.ExpatError,
    ) as error:
        raise ValueError(f"{path}: damaged ({error}); fetch it again") from error
    if not network.synsets:
        raise ValueError(f"{path}: no noun synset in it; name a file or folder of {FORMATS}")
    return network


def _reader(head: bytes, path: Path) -> Callable[[Path], WordNet]:
    first = head.split(b"\n")[0].split(b"\t")
    if head.startswith(b"\x1f\x8b") or head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return _xml
    if {b"synset", b"members"} <= {cell.strip() for cell in first}:
        return _table
    if re.match(rb"(  \d+ |\d{8} \d\d n )", head):  # the licence comes first, its lines numbered
        return _wndb
    raise ValueError(f"{path}: not a WordNet file of a known format; name one of {FORMATS}")


def _wndb(path: Path) -> WordNet:
    """data.noun, with the sense order of index.noun and the plurals of noun.exc if they lie
    beside it.
    """
    synsets, number = [], {}
    for row, line in _lines(path):
        fields, _, gloss = line.partition(" | ")
        cells = fields.split(" ", 4)
        if len(cells) < 5 or cells[2] != "n" or not cells[0].isdigit():
            raise ValueError(
                f"{path} line {row}: expected `offset file n words ...`; fetch the file again"
            )
        try:
            count = int(cells[3], 16)
        except ValueError:
            count = 0
        words = cells[4].split(" ", 2 * count)[
            : 2 * count : 2
        ]  # each is followed by its number in the lexicographer's file
        if len(words) < max(count, 1):
            raise ValueError(
                f"{path} line {row}: fewer words than its count says; fetch the file again"
            )
        number[cells[0]] = len(synsets)
        lemmas = tuple(word.replace("_", " ") for word in words)
        synsets.append(Synset("n" + cells[0], lemmas, gloss.strip()))
    index, irregular = path.with_name("index.noun"), path.with_name("noun.exc")
    senses = list(_index(index, number)) if index.is_file() else None
    rows = [line.split() for _, line in _lines(irregular)] if irregular.is_file() else []
    return WordNet(synsets, senses, [(cells[0], cells[1]) for cells in rows if len(cells) > 1])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        for row, line in enumerate(file, 1):
            if not line.startswith("  ") and line.strip():
                yield row, line


def _index(path: Path, number: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    for row, line in _lines(path):
        cells = line.split()
        try:
            numbers = [number[offset] for offset in cells[-int(cells[2]) :]]
        except (KeyError, ValueError, IndexError):
            raise ValueError(
                f"{path} line {row}: does not fit data.noun; take both from the same WordNet"
            ) from None
        lemma = cells[0].replace("_", " ")
        for rank, synset in enumerate(numbers, 1):
            yield lemma, rank, synset


def _table(path: Path) -> WordNet:
    synsets = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row, cells in enumerate(
            csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 2
        ):
            lemmas = tuple(filter(None, (cells["members"] or "").split("|")))
            key = cells.get("pwn30_wnid") or cells["synset"]
            if not lemmas or not key:
                raise ValueError(
                    f"{path} line {row}: no synset or no members; fetch the file again"
                )
            synsets.append(Synset(key, lemmas, cells.get("definition") or ""))
    return WordNet(synsets, None)


def _xml(path: Path) -> WordNet:
    nouns = read_nouns(path)
    number = {key: i for i, key in enumerate(nouns.synsets)}
    lemmas: dict[str, list[str]] = {key: [] for key in number}
    for lemma, _, key in nouns.senses:
        lemmas[key].append(lemma)
    synsets = [
        Synset(key, tuple(lemmas[key]), "".join(gloss).strip())
        for key, gloss in nouns.synsets.items()
    ]
    return WordNet(
        synsets, [(lemma, rank, number[key]) for lemma, rank, key in nouns.senses], nouns.plurals
    )
