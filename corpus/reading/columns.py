"""What a training reads of a shard folder by name: a reader for each stored form of a column.

index.parquet says in its metadata which columns there are, and in which form each is stored:
{"image": {"read": "jpeg"}, "label": {"read": "class", "of": "targets"}}. `read` names a reader of
FORMS, the other keys are handed to it; `of` is the list column of the index that holds the values.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from corpus.reading import clips, objects
from corpus.reading.index import Blobs, Lists

Column = Tensor | list[Tensor]


class Stored(Protocol):
    """What a reader needs of Shards."""

    folder: Path
    names: list[str]
    columns: dict[str, dict[str, Any]]

    def images(self, indices: np.ndarray) -> Tensor: ...
    def pictures(self, indices: np.ndarray) -> list[Tensor]: ...
    def frames(self, indices: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[Tensor]: ...
    def lists(self, column: str) -> Lists | Blobs: ...


def read_jpeg(stored: Stored, indices: np.ndarray) -> Tensor:
    """Pixels as uint8 (n, size, size, 3)."""
    return stored.images(indices)


def read_class(stored: Stored, indices: np.ndarray, of: str) -> Tensor:
    """int64 (n,): the one class of each image; ValueError unless every image has exactly one."""
    targets = stored.lists(of)
    if targets.width != 1:
        raise ValueError(f"{stored.folder} has images of several classes: read a multi-hot column")
    return class_of(targets, indices)


def read_classes(stored: Stored, indices: np.ndarray, of: str) -> Tensor:
    """float32 (n, names): 1 at each class of each image."""
    return multi_hot(stored.lists(of), indices, len(stored.names))


def read_numbers(stored: Stored, indices: np.ndarray, of: str) -> Column:
    """float32 (n, numbers); where images of the split differ in their number, a list of (any,)."""
    values = stored.lists(of)
    if values.width is None:
        return [torch.from_numpy(values[row].astype(np.float32)) for row in indices.tolist()]
    rows = values.flat.reshape(-1, values.width)[indices]
    return torch.from_numpy(rows.astype(np.float32))


# a stored form -> reader(stored, indices, its keys in the index and the options of who reads); one
# that draws, as which frames of a clip are read, has a parameter `draws`
FORMS: dict[str, Callable[..., Column]] = (
    {"jpeg": read_jpeg, "class": read_class, "classes": read_classes, "numbers": read_numbers}
    | objects.FORMS
    | clips.FORMS
)


def class_of(targets: Lists, indices: np.ndarray) -> Tensor:
    """int64 (n,): the first and only value of each image."""
    assert targets.width == 1
    return torch.from_numpy(targets.flat[indices].astype(np.int64))


def multi_hot(targets: Lists, indices: np.ndarray, classes: int) -> Tensor:
    """float32 (n, classes): 1 at each value of each image."""
    hot = torch.zeros(len(indices), classes)
    hot.numpy()[targets.of(indices)] = 1
    return hot


def derived_columns(single: bool) -> dict[str, dict[str, str]]:
    """The columns of an index that was written before it named them.

    single: whether every image has one class.
    """
    columns = {"image": {"read": "jpeg"}, "hashtags": {"read": "classes", "of": "targets"}}
    return columns | ({"label": {"read": "class", "of": "targets"}} if single else {})


def complete_columns(columns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The columns of an index, with one that is read of another's list: older ones do not name it.

    Which masks are known is said by their run lengths.
    """
    if "masks" not in columns or "masks_known" in columns:
        return columns
    return columns | {"masks_known": {"read": "masks_known", "of": columns["masks"]["of"]}}


def read_column(
    stored: Stored, name: str, indices: np.ndarray, draws: Any, options: dict[str, Any]
) -> Column:
    """A column's values at these rows, by the reader of its stored form.

    ValueError for a form or an option that there is not.
    """
    keys = dict(stored.columns[name])
    form = keys.pop("read")
    if form not in FORMS:
        raise ValueError(
            f"{stored.folder} stores column {name!r} as {form!r}, which is not known here (known: "
            f"{', '.join(FORMS)}): update the code, or build the corpus again"
        )
    reader = FORMS[form]
    known = inspect.signature(reader).parameters
    free = [key for key in known if key not in ("stored", "indices", "draws", *keys)]
    unknown = [key for key in options if key not in free]
    if unknown:
        raise ValueError(
            f"column {name!r} of {stored.folder} has no option {', '.join(unknown)} (it has: "
            f"{', '.join(free) or 'none'}): leave it out"
        )
    if "draws" in known:
        keys["draws"] = draws
    return reader(stored, indices, **keys, **options)
