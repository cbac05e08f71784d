"""The samples that a loop reads: rows of corpus shards with their targets as tensors."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from corpus.reading.shards import Shards
from engine.core.environment import value
from engine.core.resizing import resized


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
    """Some rows (all when None) of a split.

    `kind` says whether targets are hashtags (multi-hot) or one class index.

    size: pixels to resize the stored squares to.
    """

    shards: Shards
    kind: Literal["hashtags", "labels"]
    rows: Tensor | None = None
    size: int | None = None

    @functools.cached_property
    def _rows(self) -> Tensor:
        return torch.arange(len(self.shards)) if self.rows is None else self.rows

    def __len__(self) -> int:
        return len(self._rows)

    def images(self, indices: Tensor) -> Tensor:
        """Images, uint8 (n, h, w, 3)."""
        images = self.shards.images(self._rows[indices])
        return images if self.size is None else resized(images, self.size)

    def targets(self, indices: Tensor) -> Tensor:
        """Multi-hot float (n, hashtags) or class indices, int64 (n,)."""
        rows = self._rows[indices]
        return self.shards.multi_hot(rows) if self.kind == "hashtags" else self.shards.labels(rows)

    def ids(self, indices: Tensor) -> list[str]:
        """Ids of the images."""
        return [self.shards.ids[row] for row in self._rows[indices].tolist()]

    def some(self, indices: Tensor) -> "Rows":
        """Those of these samples."""
        return replace(self, rows=self._rows[indices])


def few_per_class(shards: Shards, count: int | Literal["all"], generator: torch.Generator) -> Rows:
    """`count` labelled rows of every class, drawn without replacement.

    ValueError for a count below 1, and for a class that has fewer.
    """
    if count != "all" and count < 1:
        raise ValueError(f"labels_per_class={count}: give 1 or more, or all")
    if count == "all":
        return Rows(shards, "labels", torch.arange(len(shards)))
    labels = shards.labels(torch.arange(len(shards)))
    chosen = []
    for index, name in enumerate(shards.names):
        rows = torch.nonzero(labels == index).flatten()
        if len(rows) < count:
            raise ValueError(
                f"class {name!r} has {len(rows)} training images, "
                f"fewer than labels_per_class={count}"
            )
        chosen.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return Rows(shards, "labels", torch.cat(chosen))
