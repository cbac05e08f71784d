"""The samples that a loop reads: rows of corpus shards with their targets as tensors."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from corpus.shards.shards import Shards


def once(make: Callable[..., Any], folder: Path, *arguments: Any) -> Any:
    """`make(folder, *arguments)`, made once while the folder's files stay the ones they are; three are kept."""
    files = sorted((file, file.stat()) for file in folder.glob("*"))
    key = tuple((file.name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for file, stat in files)
    return _made(make, folder.absolute(), key, *arguments)


@functools.lru_cache(maxsize=3)  # a stage's training images, what is reckoned from them, and its held-out images
def _made(make: Callable[..., Any], folder: Path, _: tuple, *arguments: Any) -> Any:
    return make(folder, *arguments)


def opened(folder: Path, split: str) -> Shards:
    """A split of a shard folder, shared by all networks of a process, and with it the images that it has decoded."""
    return once(Shards, folder, split)


@dataclass
class Rows:
    """Some rows (all when None) of a split; `kind` says whether targets are hashtags (multi-hot) or one class index."""

    shards: Shards
    kind: Literal["hashtags", "labels"]
    rows: Tensor | None = None

    @functools.cached_property
    def _rows(self) -> Tensor:
        return torch.arange(len(self.shards)) if self.rows is None else self.rows

    def __len__(self) -> int:
        return len(self._rows)

    def images(self, indices: Tensor) -> Tensor:
        """Images, uint8 (n, h, w, 3)."""
        return self.shards.images(self._rows[indices])

    def targets(self, indices: Tensor) -> Tensor:
        """Multi-hot float (n, hashtags) or class indices, int64 (n,)."""
        rows = self._rows[indices]
        return self.shards.multi_hot(rows) if self.kind == "hashtags" else self.shards.labels(rows)


def few_per_class(shards: Shards, count: int, generator: torch.Generator) -> Rows:
    """`count` labelled rows of every class, drawn without replacement; ValueError names a class that has fewer."""
    labels = shards.labels(torch.arange(len(shards)))
    chosen = []
    for index, name in enumerate(shards.names):
        rows = torch.nonzero(labels == index).flatten()
        if len(rows) < count:
            raise ValueError(f"class {name!r} has {len(rows)} training images, fewer than labels_per_class={count}")
        chosen.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    return Rows(shards, "labels", torch.cat(chosen))
