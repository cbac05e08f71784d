"""Canonical names of the forms in a tag table, and with them each post's names, streamed: an
image has a name once.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining" (arXiv 1805.00932),
section 2.1.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa

from corpus.tags.interning import Interner
from corpus.tags.table import TagTable, distinct

CHUNK = 100_000  # forms whose names are taken in at once
Targets = tuple[
    int, np.ndarray, np.ndarray
]  # number of the first post, flat int32 ids, end of each post's ids


class Names:
    """Which names each form stands for: `names` (large_string.

    Position = id), forms to ids of names.
    """

    def __init__(self, names: pa.Array, ids: np.ndarray, sizes: np.ndarray):
        """`ids` (int32) are the name ids of all forms one after the other, `sizes` (int64) how
        many each form has.
        """
        self.names, self.ids, self.sizes = names, ids, sizes
        starts = np.cumsum(sizes) - sizes
        many = np.flatnonzero(sizes > 1)  # few: the words of merged hashtags
        self._code = np.full(
            len(sizes), -1, np.int32
        )  # the name's id; -1 for none; -2 - i: see the i-th of `_many`
        self._code[sizes == 1] = ids[starts[sizes == 1]]
        self._code[many] = -2 - np.arange(len(many))
        self._many = starts[many], sizes[many]

    @classmethod
    def of(cls, names_per_form: Iterable[Sequence[str]]) -> "Names":
        """From the names of form 0, 1, ...; no names: the form is left out."""
        intern, ids, sizes = Interner(), [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        rest = iter(names_per_form)
        chunks = iter(lambda: list(islice(rest, CHUNK)), [])
        for chunk in chunks:
            sizes.append(np.fromiter(map(len, chunk), np.int64, len(chunk)))
            flat = [name for names in chunk for name in names]
            ids.append(intern(pa.array(flat, pa.large_string())))
        return cls(intern.strings(), np.concatenate(ids), np.concatenate(sizes))

    def only(self, wanted: Sequence[int]) -> "Names":
        """The same with the wanted names alone, numbered in the order given: a vocabulary's ids
        give classes.
        """
        wanted = np.asarray(wanted, np.int64)
        number = np.full(len(self.names), -1, np.int32)
        number[wanted] = np.arange(len(wanted))
        ids = number[self.ids]
        form = np.repeat(np.arange(len(self.sizes)), self.sizes)[ids >= 0]
        return Names(
            self.names.take(pa.array(wanted)),
            ids[ids >= 0],
            np.bincount(form, minlength=len(self.sizes)),
        )

    def forms(self, wanted: int) -> np.ndarray:
        """The ids of the forms that stand for one name."""
        return np.unique(np.repeat(np.arange(len(self.sizes)), self.sizes)[self.ids == wanted])

    def per_post(self, table: TagTable) -> Iterator[Targets]:
        """Streams each post's name ids, sorted and distinct, in blocks of posts."""
        for first, forms, sizes in table.blocks():
            posts = np.repeat(np.arange(len(sizes), dtype=np.int64) << 32, sizes)
            codes = self._code[forms]
            keys = (posts | codes)[codes >= 0]
            merged = np.flatnonzero(codes < -1)
            if len(merged):
                starts, lengths = (part[-2 - codes[merged]] for part in self._many)
                within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
                more = (
                    np.repeat(posts[merged], lengths)
                    | self.ids[np.repeat(starts, lengths) + within]
                )
                keys = np.concatenate([keys, more])
            ids, sizes = distinct(keys, len(sizes))
            yield first, ids, np.cumsum(sizes)
