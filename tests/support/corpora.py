"""The stage corpus, built as the flow builds it: its defaults are those of the flow's signature."""

import inspect
from pathlib import Path
from typing import Any

from corpus.build import build_corpus
from corpus.progress import Progress, unseen
from flows.corpus import corpus

DEFAULTS = {name: each.default for name, each in inspect.signature(corpus).parameters.items()}


def section(**changes: Any) -> dict[str, Any]:
    """Section corpus with some settings changed."""
    assert changes.keys() <= DEFAULTS.keys(), changes.keys() - DEFAULTS.keys()
    return DEFAULTS | changes


def build_with(
    data: Path, out: Path, cache: Path, progress: Progress = unseen, **changes: Any
) -> dict:
    """What `build_corpus` returns for the section with these settings changed."""
    return build_corpus(data, out, cache, section(**changes), progress)
