"""The samples that a loop reads: rows of corpus shards with their targets as tensors."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from corpus.reading.shards import Shards
from engine.core.batch import Batch, Column
from engine.core.environment import value
from engine.core.part import part_of
from engine.core.resizing import resized, with_short_side
from models.blocks.augment.draws import Draws


def cached_by_files(make: Callable[..., Any], folder: Path, *arguments: Any) -> Any:
    """`make(folder, *arguments)`, made once while the folder's files stay the ones they are.

    Three are kept.
    """
    # a stage that ran meanwhile has written others under the same names
    files = sorted((file, file.stat()) for file in folder.glob("*"))
    key = tuple((file.name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for file, stat in files)
    return _made(make, folder.absolute(), key, *arguments)


# a stage's training images, what is reckoned from them, and its held-out images
@functools.lru_cache(maxsize=3)
def _made(make: Callable[..., Any], folder: Path, _: tuple, *arguments: Any) -> Any:
    return make(folder, *arguments)


def open_split(folder: Path, split: str) -> Shards:
    """A split of a shard folder, with the images decoded so far, shared by all of a process.

    TAGDAG_CACHE_MB bounds the memory of those images, TAGDAG_THREADS sets how many threads decode.
    """
    # 0, as None, leaves the number to Shards
    threads = value("TAGDAG_THREADS") or None
    return cached_by_files(Shards, folder, split, value("TAGDAG_CACHE_MB"), threads)


@dataclass
class Rows:
    """Some rows (all when None) of a split, as the columns that somebody reads.

    reads: names of columns with the options of their reading, as an objective has them.
    size: pixels to resize the stored squares to, or the short side of clips.
    more: columns that the shards do not have, a row for each of theirs: what another network said.
    """

    shards: Shards
    reads: Mapping[str, Mapping[str, Any]]
    rows: Tensor | None = None
    size: int | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)

    @functools.cached_property
    def places(self) -> Tensor:
        """Of each sample its row in the shards, int64."""
        return torch.arange(len(self.shards)) if self.rows is None else self.rows

    def __len__(self) -> int:
        return len(self.places)

    def read(self, indices: Tensor, draws: Draws | None = None) -> Batch:
        """The columns of these samples; draws: of what of a sample is read, where that is drawn.

        ValueError lists the columns there are where one is missing.
        """
        return {name: self._column(name, self.places[indices], draws) for name in self.reads}

    def _column(self, name: str, rows: Tensor, draws: Draws | None = None) -> Column:
        if name in self.more:
            return self.more[name][rows]
        column = self.shards.read(rows, name, draws, **self.reads.get(name, {}))
        if name == "clip":
            # views are of one size, and a video that came smaller is stored as it came
            return [with_short_side(clips, self.size or self.shards.size) for clips in column]
        if name != "image" or not self.size:
            return column
        if isinstance(column, list):
            raise ValueError(
                f"images of {self.shards.folder} keep their aspect, and are no squares of "
                f"{self.size} px: leave the size to the objective"
            )
        return resized(column, self.size)

    def column(self, name: str) -> Column:
        """One column of all samples; images are not decoded for another."""
        return self._column(name, self.places)

    def ids(self, indices: Tensor) -> list[str]:
        """Ids of the samples."""
        return [self.shards.ids[row] for row in self.places[indices].tolist()]

    def some(self, indices: Tensor) -> "Rows":
        """Those of these samples."""
        return replace(self, rows=self.places[indices])

    def reading(self, columns: Mapping[str, Mapping[str, Any]]) -> "Rows":
        """The same samples, of which these columns are read: for tests others than for training."""
        return replace(self, reads=columns)


def few_per_class(
    samples: Rows, target: str, count: float | Literal["all"], generator: torch.Generator
) -> Rows:
    """`count` samples of every class of the column `target`, drawn without replacement.

    Where a sample has several classes it counts for each of them: classes are gone through from
    the rarest on, and each is filled up to `count` with samples that are drawn from its own, so
    that frequent ones may get more.

    A count that is a float in (0, 1) is a share of the samples: of every class where each sample
    has one, at least one of it, else of all. "all" are the samples as they are.

    ValueError for a count below 1 that is no share, and for a class that has fewer.
    """
    if count == "all":
        return samples.some(torch.arange(len(samples)))
    if isinstance(count, float) and 0 < count < 1:
        return samples.some(_share(samples.column(target), len(samples), count, generator))
    if count < 1:
        raise ValueError(f"labels_per_class={count}: give 1 or more, a share below 1, or all")
    return samples.some(_of_each(samples, target, int(count), generator))


def _share(truth: Column, samples: int, share: float, generator: torch.Generator) -> Tensor:
    """Places of this share of so many samples, whose classes are `truth`."""
    # scores, tags and lists of objects are no class of the sample
    classed = isinstance(truth, Tensor) and truth.ndim == 1 and not truth.is_floating_point()
    groups = truth if classed else torch.zeros(samples, dtype=torch.int64)
    chosen = []
    for group in groups.unique():
        places = torch.nonzero(groups == group).flatten()
        drawn = torch.randperm(len(places), generator=generator)
        chosen.append(places[drawn[: part_of(share, len(places))]])
    return torch.cat(chosen)


def _of_each(samples: Rows, target: str, count: int, generator: torch.Generator) -> Tensor:
    """Places of `count` samples of every class."""
    truth, names = samples.column(target), samples.shards.classes
    if isinstance(truth, list):
        raise ValueError(
            f"labels_per_class={count} counts images of a class, and {target} says many things of "
            "each: give a share as 0.1, or all"
        )
    several = truth.ndim == 2
    of_class = [truth[:, i] > 0 if several else truth == i for i in range(len(names))]
    order = range(len(names))
    if several:
        order = sorted(order, key=lambda i: int(of_class[i].sum()))
    chosen, taken = [], torch.zeros(len(samples), dtype=torch.bool)
    for index in order:
        there = int(of_class[index].sum())
        if there < count:
            raise ValueError(
                f"class {names[index]!r} has {there} training images, "
                f"fewer than labels_per_class={count}"
            )
        rows = torch.nonzero(of_class[index] & ~taken).flatten()
        wanted = count - int((of_class[index] & taken).sum())
        rows = rows[torch.randperm(len(rows), generator=generator)[: max(0, wanted)]]
        taken[rows] = True
        chosen.append(rows)
    return torch.cat(chosen)
