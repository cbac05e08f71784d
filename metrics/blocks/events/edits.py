"""What metrics of transcripts share: edits between what was said and what was understood.

Levenshtein 1966, "Binary Codes Capable of Correcting Deletions, Insertions, and Reversals". Of all
shortest ways to edit one into the other, rapidfuzz's counts, which is jiwer's, too: the total is
the same by any of them, the shares of its kinds need not be.
"""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy import ndarray
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from metrics.blocks.bootstrap import bootstrap, percentiles
from metrics.blocks.events.kept import Kept, Rows, drawn_together, listed, plain
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.picture import Bars
from metrics.blocks.ranges import Resamples
from metrics.blocks.refusing import refuse
from metrics.blocks.sums import share

KINDS = ("substitutions", "deletions", "insertions")
# as many as take the time of the edits themselves
EDIT_RESAMPLES = 400
TAGS = {"replace": 0, "delete": 1, "insert": 2}
APOSTROPHES = "'\u2019"


class Edits:
    """Edits per unit of what was said, in percent, of all utterances together.

    One adds `units`: an utterance as a sequence of what is counted.
    """

    headline: str
    higher = False
    unit = "%"
    reads = Reads(("transcript",), ("transcript",), ("group",))
    files: ClassVar[str] = "texts"
    counted: ClassVar[str]

    def __init__(self, normalise: bool = False, resamples: Resamples = EDIT_RESAMPLES) -> None:
        self.normalise, self.resamples = normalise, resamples
        self._kept = Kept()
        self._found: tuple[int, ndarray, ndarray, ndarray | None] | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_found": None}

    def units(self, text: str) -> Sequence[str]:
        """What of an utterance is counted: its words, or its characters."""
        raise NotImplementedError

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in transcripts of n utterances, UTF-8 bytes (k,), of both; of the targets group (n,)
        where it is there.
        """
        columns = {
            "given": listed(predictions, "transcript", "predictions"),
            "true": listed(targets, "transcript", "targets"),
        }
        if "group" in targets:
            columns["group"] = plain(targets, "group", "targets")
        self._kept.add(**columns)

    def merge(self, other: "Edits") -> None:
        """Add the utterances that another one has seen, after the own."""
        assert self.normalise == other.normalise, "metrics of two spellings do not add up"
        self._kept.merge(other._kept)

    def compute(self) -> dict[str, float]:
        """{headline and its interval, "substitutions", "deletions", "insertions"} in percent of
        what was said, "exact", utterances without an edit, in percent of them all, "samples" and
        how many words or characters were said. Where none was, one counts as said.
        """
        edits, said, _ = self._all()
        rates = 100 * edits.sum(0) / max(1, said.sum())
        numbers = {self.headline: float(rates.sum())}
        found = self.resampled()
        if found is not None:
            # more may be put in than was said
            numbers |= percentiles(self.headline, found, np.inf)
        numbers |= dict(zip(KINDS, rates.tolist(), strict=True))
        numbers["exact"] = 100 * float((edits.sum(1) == 0).mean())
        return numbers | {"samples": len(said), self.counted: int(said.sum())}

    def each(self) -> None:
        """None: what was said is counted in all utterances together."""

    def resampled(self) -> Tensor | None:
        """Each is the rate of as many utterances; of as many groups where there is that column."""
        if not self.resamples:
            return None
        edits, said, group = self._all()
        both = np.stack([edits.sum(1), said])
        drawn, spread = drawn_together(group, len(said))

        def measured(weights: ndarray) -> ndarray:
            errors, units = both.astype(weights.dtype) @ spread(weights)
            return 100 * (share(errors, units) if said.any() else errors)

        return bootstrap(drawn, self.resamples, measured)

    def rows(self) -> list[dict[str, float]]:
        """{"sample", "edits", kind, ..., "said"} of each utterance, counted from 0 in the order
        seen; those with most edits first.
        """
        edits, said, _ = self._all()
        total = edits.sum(1)
        return [
            {
                "sample": row,
                "edits": int(total[row]),
                **dict(zip(KINDS, edits[row].tolist(), strict=True)),
                "said": int(said[row]),
            }
            for row in np.argsort(-total, kind="stable").tolist()
        ]

    def picture(self) -> Bars:
        """Edits by kind."""
        numbers = self.compute()
        values = [numbers[kind] for kind in KINDS]
        title = f"{self.headline} {numbers[self.headline]:.2f} %"
        return Bars(title, f"% of {self.counted}", KINDS, values)

    def _all(self) -> tuple[ndarray, ndarray, ndarray | None]:
        """(edits of each kind int64 (n, 3), how much was said int64 (n,), group (n,) or None)."""
        if self._found is None or self._found[0] != len(self._kept):
            columns = self._kept.all()
            given, true = (self._units(columns[name]) for name in ("given", "true"))
            edits = np.array(list(map(_edits, true, given)), np.int64).reshape(-1, 3)
            said = np.array(list(map(len, true)), np.int64)
            group = columns["group"].values if "group" in columns else None
            self._found = (len(self._kept), edits, said, group)
        return self._found[1:]

    def _units(self, column: Rows) -> list[Sequence[str]]:
        texts = _decoded(column)
        if self.normalise:
            texts = map(spoken, texts)
        return list(map(self.units, texts))


def spoken(text: str) -> str:
    """Without case and punctuation: compatible forms made one (NFKC), case folded, a space in the
    place of each mark of punctuation or symbol that is no apostrophe, and single spaces.
    """
    plain_forms = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(map(_letter, plain_forms)).split())


def _letter(one: str) -> str:
    if one in APOSTROPHES:
        return APOSTROPHES[0]
    return " " if unicodedata.category(one)[0] in "PS" else one


def _decoded(column: Rows) -> list[str]:
    """The texts; ValueError that lists those which are no UTF-8."""
    whole, ends = column.values.astype(np.uint8).tobytes(), np.cumsum(column.counts).tolist()
    texts, wrong = [], np.zeros(len(ends), bool)
    for place, (start, end) in enumerate(pairwise([0, *ends])):
        try:
            texts.append(whole[start:end].decode())
        except UnicodeDecodeError:
            wrong[place] = True
    refuse(wrong, "have a transcript that is no UTF-8", "give the bytes of UTF-8 texts")
    return texts


def _edits(true: Sequence[str], given: Sequence[str]) -> tuple[int, int, int]:
    """Substitutions, deletions, insertions that make what was said into what was understood."""
    counts = [0, 0, 0]
    if true != given:
        for edit in Levenshtein.editops(true, given):
            counts[TAGS[edit.tag]] += 1
    return tuple(counts)
