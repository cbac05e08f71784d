"""Lines `id words` (Kaldi; an id has a digit), `words (id)` (TRN), or words in the same order.

Both files are of one of these forms, UTF-8:

- every line ends in an id in brackets: TRN. The order does not matter.
- every line begins with a word of three characters or more, one of them a digit: Kaldi's text,
  whose lines begin with ids. The order does not matter; an id alone is an empty utterance.
- otherwise line by line: as many lines in both, where an empty line is an empty utterance.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from metrics.blocks.metric import Reads
from metrics.blocks.refusing import some
from metrics.formats.files import read_text, repeated
from metrics.formats.pair import Pair

EMPTY = torch.zeros(0, dtype=torch.uint8)
SHORTEST = 3  # characters of an id: so digits that were said are none


def read(predictions: Path, targets: Path, reads: Reads, common: bool = False) -> Pair:
    """The utterances of both files, in the order of the truth.

    common: leave out utterances that one file alone has. ValueError with cause and fix where a file
    or its ids do not fit.
    """
    given, true = _lines(predictions), _lines(targets)
    for split in (_bracketed, _led):
        said, understood = split(true), split(given)
        if said is not None and understood is not None:
            tables = _table(predictions, understood), _table(targets, said)
            return _by_id(*tables, common, (predictions, targets))
    if len(given) != len(true):
        raise ValueError(
            f"{predictions} has {len(given)} lines, {targets} has {len(true)}: give as many, or "
            "lines that begin with an id (which has a digit) or end in one in brackets"
        )
    samples = [f"line {row}" for row in range(1, len(true) + 1)]
    return _pair(given, true, samples)


def _lines(file: Path) -> list[str]:
    lines = read_text(file).split("\n")
    if not lines[-1].strip():
        lines.pop()
    if not any(map(str.strip, lines)):
        raise ValueError(f"{file} has no text: give a file with an utterance per line")
    return [line.strip() for line in lines]


def _bracketed(lines: Sequence[str]) -> list[tuple[str, str]] | None:
    """(id, words) of each line of a TRN file; None where it is none."""
    found = []
    for line in filter(None, lines):
        words, bracket, key = line[:-1].rpartition("(")
        if not line.endswith(")") or not bracket or not key or re.search(r"[\s)]", key):
            return None
        found.append((key, words.strip()))
    return found


def _led(lines: Sequence[str]) -> list[tuple[str, str]] | None:
    """(id, words) of each line of Kaldi's text; None where it is none."""
    split = [[*line.split(maxsplit=1), ""][:2] for line in lines if line]
    if all(len(key) >= SHORTEST and re.search(r"\d", key) for key, _ in split):
        return [(key, words) for key, words in split]
    return None


def _table(file: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    twice = repeated(key for key, _ in pairs)
    if twice:
        raise ValueError(
            f"{file}: {len(twice)} ids stand more than once ({some(twice)}): keep one line of each"
        )
    return dict(pairs)


def _by_id(
    given: Mapping[str, str], true: Mapping[str, str], common: bool, files: tuple[Path, Path]
) -> Pair:
    alone = [key for key in given if key not in true]
    lacking = [key for key in true if key not in given]
    if (alone or lacking) and not common:
        told = [
            f"{len(keys)} utterances of {file} are not in the other file ({some(keys)})"
            for keys, file in ((alone, files[0]), (lacking, files[1]))
            if keys
        ]
        raise ValueError(
            f"{'; '.join(told)}: give files of the same utterances, or --common to count those "
            "that both have"
        )
    samples = [key for key in true if key in given]
    return _pair([given[key] for key in samples], [true[key] for key in samples], samples)


def _pair(given: Sequence[str], true: Sequence[str], samples: list[str]) -> Pair:
    columns = ({"transcript": list(map(_bytes, texts))} for texts in (given, true))
    return Pair(*columns, [], samples)


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) if text else EMPTY
