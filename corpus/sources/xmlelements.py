"""XML of any size, element by element, in bounded memory; entities of its own are refused.

ElementTree's own `iterparse` expands entities, and keeps what it has read.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

CHUNK = 1 << 20  # bytes read together
LARGEST = 64 << 20  # bytes of one element of the root
NODES = 1_000_000  # elements within it: each takes more memory than its bytes do
DEEPEST = 32  # elements within elements
FAULTS = (expat.ExpatError, AssertionError, LookupError)


def no_doctype(*_: object) -> None:
    """Expat's handler of a DOCTYPE; ValueError."""
    raise ValueError("XML with a DOCTYPE, which may declare entities: take it out")


def root_name(path: Path) -> str:
    """The name of the outermost element; empty where the file is no XML, or cannot be read."""
    parser, found = expat.ParserCreate(), []
    parser.StartElementHandler = lambda name, _: found.append(name)
    parser.StartDoctypeDeclHandler = no_doctype
    try:
        with path.open("rb") as file:
            parser.Parse(file.read(CHUNK), False)
    except (OSError, ValueError, *FAULTS):  # what stands behind the first element is no matter
        pass
    return found[0] if found else ""


class _Reader:
    """What expat has read so far: `done` has elements of the root that have ended.

    mark: how many bytes had been read when the last of them began or ended.
    """

    def __init__(self, wanted: Collection[str]):
        self.wanted, self.done, self.depth, self.nodes = wanted, [], 0, 0
        self.builder: TreeBuilder | None = None
        self.read = self.mark = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth == 2:
            self.mark, self.nodes = self.read, 0
            self.builder = TreeBuilder() if name in self.wanted else None
        if self.builder is None:
            return
        self.nodes += 1
        if self.nodes > NODES or self.depth > DEEPEST:
            raise ValueError(
                f"an element holds over {NODES:,} others, or they are over {DEEPEST} deep"
            )
        self.builder.start(name, attributes)

    def end(self, name: str) -> None:
        if self.builder is not None:
            self.builder.end(name)
        if self.depth == 2:
            self.mark = self.read
            if self.builder is not None:
                self.done.append(self.builder.close())
            self.builder = None
        self.depth -= 1

    def text(self, data: str) -> None:
        if self.builder is not None:
            self.builder.data(data)


def elements(path: Path, wanted: Collection[str]) -> Iterator[Element]:
    """The elements of these names that stand in the root itself, in the order of the file.

    ValueError that names the file where it is no XML, is cut off, has a DOCTYPE or an element that
    is too large.
    """
    reader, parser = _Reader(wanted), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = no_doctype
    try:
        with path.open("rb") as file:
            data = b" "
            while data:
                data = file.read(CHUNK)
                reader.read += len(data)
                parser.Parse(data, not data)
                if reader.read - reader.mark > LARGEST:
                    raise ValueError(f"an element of over {LARGEST >> 20} MB")
                yield from reader.done
                reader.done.clear()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check its path") from None
    except FAULTS as error:
        raise ValueError(f"{path} is no XML, or cut off: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
