"""The mapping table of synonyms and languages: the user's, and ours for want of a WordNet."""

from collections.abc import Mapping
from pathlib import Path

from corpus.hashtags.normal import normalise

# a few dozen synonyms and translations of common motifs
EVERYDAY = Path(__file__).with_name("everyday.tsv")


def read_synonyms(path: Path) -> dict[str, str]:
    """The table `tag<TAB>canonical`, normalised, chains followed.

    ValueError for a second sense or a ring.
    """
    table: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); save the table as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        tag, *others = (normalise(cell) for cell in line.split("\t"))
        if len(others) != 1 or not tag or not others[0]:
            raise ValueError(f"{path} line {number}: expected `tag<TAB>canonical`, found {line!r}")
        if table.setdefault(tag, others[0]) != others[0]:
            fault = f"{tag!r} already means {table[tag]!r}"
            raise ValueError(f"{path} line {number}: {fault}; keep one of its senses")
    for tag in table:
        seen, end = {tag}, table[tag]
        while end in table and table[end] != end:
            if end in seen:
                raise ValueError(
                    f"{path}: {tag!r} leads back to itself; remove one line of that ring"
                )
            seen.add(end)
            end = table[end]
        table[tag] = end
    return table


def everyday_synonyms(synonyms: Mapping[str, str]) -> dict[str, str]:
    """What the everyday table adds to the user's: it yields where that says something else."""
    names, table = set(synonyms.values()), {}
    for tag, name in read_synonyms(EVERYDAY).items():
        if tag not in synonyms and tag not in names and synonyms.get(name, name) != tag:
            table[tag] = synonyms.get(name, name)
    return table
