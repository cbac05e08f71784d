"""Nouns out of GWN-LMF XML (globalwordnet.github.io/schemas), read as a stream.

It is the format of Open English WordNet.
"""

import gzip
from functools import partial
from pathlib import Path
from xml.parsers import expat

MAX_BYTES = 4 << 30  # unpacked; the real files have 0.1 GB
BLOCK = 1 << 20


class Nouns:
    """What the parser has met: synsets, senses (lemma, rank, synset id), (plural, noun) pairs."""

    def __init__(self, path: Path):
        self.path = path
        self.synsets: dict[str, list[str]] = {}  # id: the pieces of its first definition
        self.senses: list[tuple[str, int, str]] = []
        self.plurals: list[tuple[str, str]] = []
        self._root = self._lemma = ""
        self._rank = 0
        self._gloss: list[str] | None = None
        self._inside = False  # a definition

    def parser(self) -> expat.XMLParserType:
        """A parser that reports to this object.

        It opens no other file and refuses entity declarations.
        """
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler, parser.EntityDeclHandler = self._text, self._entity
        return parser

    def _entity(self, name: str, *_: object) -> None:
        fault = f"declares the entity {name!r}, which no WordNet needs"
        raise ValueError(f"{self.path}: {fault}; fetch the file again")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        if not self._root:
            self._root = tag
            if tag != "LexicalResource":
                fault = f"XML of <{tag}>, not GWN-LMF's <LexicalResource>"
                raise ValueError(f"{self.path}: {fault}; name a WordNet file")
        elif tag == "Lemma":
            self._lemma = given.get("writtenForm", "") if given.get("partOfSpeech") == "n" else ""
            self._rank = 0
        elif tag == "Form" and self._lemma:
            self.plurals.append((given.get("writtenForm", ""), self._lemma))
        elif tag == "Sense" and self._lemma:
            self._rank += 1
            self.senses.append((self._lemma, self._rank, given.get("synset", "")))
        elif tag == "Synset":
            self._gloss = (
                self.synsets.setdefault(given.get("id", ""), [])
                if given.get("partOfSpeech") == "n"
                else None
            )
        elif tag == "Definition":
            self._inside = self._gloss is not None and not self._gloss

    def _end(self, tag: str) -> None:
        if tag == "LexicalEntry":
            self._lemma = ""
        elif tag == "Definition":
            self._inside = False

    def _text(self, text: str) -> None:
        if self._inside:
            self._gloss.append(text)


def read_nouns(path: Path) -> Nouns:
    """The nouns of an .xml or .xml.gz file.

    ValueError for other XML, a sense without synset, or too many bytes.
    """
    nouns, size = Nouns(path), 0
    parser = nouns.parser()
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.open(raw) if packed else raw as file:
            for block in iter(partial(file.read, BLOCK), b""):
                size += len(block)
                if size > MAX_BYTES:
                    raise ValueError(
                        f"{path}: more than {MAX_BYTES >> 30} GiB of XML; no WordNet has so much"
                    )
                parser.Parse(block)
    parser.Parse(b"", True)
    lost = next((synset for _, _, synset in nouns.senses if synset not in nouns.synsets), None)
    if lost is not None:
        fault = f"a noun's sense names synset {lost!r}, which is not there"
        raise ValueError(f"{path}: {fault}; fetch the file again")
    return nouns
