"""Several data sets as one, in stated shares: labelled images and posts with pseudo-labels."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from corpus.reading.sampler import seeded
from corpus.reading.shards import Shards
from engine.core.batch import KNOWN, Batch, Column, end_to_end
from engine.core.samples import Rows
from models.blocks.augment.draws import Draws


@dataclass
class Mixed:
    """Samples of several data sets, one after the other; an epoch has `shares` of each.

    Columns are those of all of them. Where a data set lacks one, its samples have zeros there, and
    the column `<name>_known` says so.

    shares: of an epoch, as long as all data sets together; None: as many of each as it has.
    mixing: in which order. "epoch": at random; "batch": so that any neighbouring samples are in
        these shares, to one sample, and exactly where the shares of a batch are whole numbers.
    """

    parts: Sequence[Rows]
    shares: Sequence[float] | None = None
    mixing: Literal["epoch", "batch"] = "epoch"

    def __post_init__(self) -> None:
        if self.shares is not None and (
            len(self.shares) != len(self.parts) or min(self.shares) < 0 or sum(self.shares) <= 0
        ):
            raise ValueError(
                f"shares {list(self.shares)} of {len(self.parts)} data sets: give a number from 0 "
                "on for each, not all of them 0"
            )

    @functools.cached_property
    def _starts(self) -> Tensor:
        return torch.tensor([0, *(len(part) for part in self.parts)]).cumsum(0)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shards(self) -> Shards:
        """Those of the first data set, whose classes the others share."""
        return self.parts[0].shards

    @functools.cached_property
    def _examples(self) -> dict[str, Column]:
        """A column of one sample for every name that not all data sets have."""
        examples, first = {}, torch.zeros(1, dtype=torch.int64)
        for name in sorted({name for part in self.parts for name in part.reads}):
            owners = [part for part in self.parts if name in part.reads]
            if len(owners) < len(self.parts):
                alone = owners[0].reading({name: owners[0].reads[name]})
                examples[name] = alone.read(first)[name]
        return examples

    def _split(self, indices: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(number of a data set, places among the indices, its own indices) of each with some."""
        owner = torch.searchsorted(self._starts, indices, right=True) - 1
        for number in range(len(self.parts)):
            places = torch.nonzero(owner == number).flatten()
            if len(places):
                yield number, places, indices[places] - self._starts[number]

    def read(self, indices: Tensor, draws: Draws | None = None) -> Batch:
        """The columns of these samples; a sample's draws do not depend on its neighbours."""
        count = len(indices)
        # a stream for each data set, also for one that has no sample here: on other workers it has
        streams = draws and (draws.once(len(self.parts)) * 2**31).long().tolist()
        whole: dict[str, Any] = {}
        for name, example in self._examples.items():
            whole[name] = _none(example, count)
            whole[f"{name}{KNOWN}"] = torch.zeros(count, dtype=torch.bool)
        for number, places, own in self._split(indices):
            chosen = draws and _DrawsOf(draws, streams[number], places, count)
            for name, column in self.parts[number].read(own, chosen).items():
                whole[name] = _filled(whole.get(name), column, places, count)
                if name in self._examples:
                    whole[f"{name}{KNOWN}"][places] = True
        return whole

    def reading(self, columns: Mapping[str, Mapping[str, Any]]) -> "Mixed":
        """The same samples, of which these columns are read, of each data set those that it read.

        Those that none read are read of all.
        """
        known = {name for part in self.parts for name in part.reads}
        parts = []
        for part in self.parts:
            lacking = known - set(part.reads)
            own = {name: columns[name] for name in columns if name not in lacking}
            parts.append(part.reading(own))
        return replace(self, parts=parts)

    def column(self, name: str) -> Column:
        """One column of all samples, which all data sets have."""
        return end_to_end([part.column(name) for part in self.parts])

    def ids(self, indices: Tensor) -> list[str]:
        """Ids of the samples."""
        found = [""] * len(indices)
        for number, places, own in self._split(indices):
            names = self.parts[number].ids(own)
            for place, name in zip(places.tolist(), names, strict=True):
                found[place] = name
        return found

    def draw_list(self, generator: torch.Generator) -> Tensor:
        """The list of an epoch: each data set in its share, over and again where it is small."""
        shares = self.shares or [len(part) for part in self.parts]
        total, drawn = len(self), []  # samples with their share
        for number, part in enumerate(self.parts):
            count = round(total * shares[number] / sum(shares))
            rounds = -(-count // len(part)) if len(part) else 0
            some = [torch.randperm(len(part), generator=generator) for _ in range(rounds)]
            if some:
                mine = torch.cat(some)[:count] + self._starts[number]
                drawn.append((mine, shares[number] / sum(shares)))
        whole = torch.cat([one for one, _ in drawn])
        if self.mixing == "batch":
            # the i-th of a data set at (i + 1/2) / share. Rounded, lest two that meet come in
            # another order from one batch to the next
            places = [(torch.arange(len(one)).double() + 0.5) / share for one, share in drawn]
            return whole[torch.cat(places).round(decimals=6).argsort(stable=True)]
        return whole[torch.randperm(len(whole), generator=generator)]


class _DrawsOf(Draws):
    """The draws of some of a batch's samples, from a stream of their own."""

    def __init__(self, draws: Draws, stream: int, places: Tensor, among: int) -> None:
        super().__init__(seeded(stream), draws.first, draws.total)
        self.places, self.among = places, among

    def rand(self, n: int, *shape: int) -> Tensor:
        """Uniform numbers of these samples, as in `Draws`."""
        return super().rand(self.among, *shape)[self.places]

    def randn(self, n: int, *shape: int) -> Tensor:
        """Normal numbers of these samples, as in `Draws`."""
        return super().randn(self.among, *shape)[self.places]


def _none(example: Column, count: int) -> Column:
    """A column like that of an example, of samples that have nothing there: zeros, or no row."""
    if isinstance(example, Tensor):
        return example.new_zeros(count, *example.shape[1:])
    return [example[0].new_zeros(0, *example[0].shape[1:])] * count


def _filled(whole: Any, column: Column, places: Tensor, count: int) -> Column:
    """A column of a batch with some samples' values put in; zeros, or nothing, at the others."""
    if isinstance(column, Tensor):
        whole = column.new_zeros(count, *column.shape[1:]) if whole is None else whole
        whole[places] = column
        return whole
    whole = [torch.zeros(0)] * count if whole is None else whole
    for place, row in zip(places.tolist(), column, strict=True):
        whole[place] = row
    return whole
