"""What of a data set a method reads: the column that its views are made of, and its targets."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

__all__ = ["PIXELS", "asked", "column_of", "columns_with"]

PIXELS = ("image", "clip")  # columns that views are made of
Columns = dict[str, dict[str, Any]]  # with the options of their reading


def column_of(views: Callable | None) -> str:
    """The column that views are made of: images, unless the plug-in says another."""
    return getattr(asked(views)[0], "column", "image")


def columns_with(
    views: Callable | None, columns: Mapping[str, Mapping[str, Any]], test: bool = False
) -> Columns:
    """The columns with that of the views in the place of the images, where it is another."""
    made, settings = asked(views)
    reads = getattr(made, "test_reads" if test else "reads", None)
    if reads is None:
        return dict(columns)
    own = reads(**settings)
    return own | {name: options for name, options in columns.items() if name not in PIXELS}


def asked(views: Callable | None) -> tuple[Any, dict[str, Any]]:
    """The class of a nested plug-in, and its settings."""
    return (views.func, views.keywords) if isinstance(views, partial) else (views, {})
