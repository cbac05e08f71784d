"""What became of the rows of a source, and whether that makes a store."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from corpus.progress import Progress
from corpus.records.kind import BaseKind
from corpus.sources.rows import SourceRow
from corpus.splits import split_notes
from corpus.store.classes import Classes, class_notes, quoted
from corpus.store.compare import Compared
from corpus.store.plan import Refusals


class Unusable(ValueError):
    """A source that gives nothing, or nothing that makes sense: no store was changed."""


class Import(NamedTuple):
    """What became of the rows of one source, each in one of kept, changed, already, refused.

    kept: records added; changed: records replaced by corrected ones; already: rows whose id was
    there and is left as it was; refused: the others, by reason, and the first of them. Of
    `already`, `differing` say otherwise than the store, `repeated` than another row of their id.
    `joined` counts rows that were put together with others of their image before that.
    """

    kept: int
    already: int
    refused: dict[str, int]
    first: list[dict]
    digest: str
    changed: int = 0
    differing: int = 0
    differences: tuple[dict, ...] = ()
    repeated: int = 0
    classes: int = 0
    splits: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    joined: int = 0


def import_account(
    kept: int,
    already: int,
    changed: int,
    found: Compared,
    refusals: Refusals,
    update: bool,
) -> Import:
    """The account of an import; `already`: rows whose id the store had, `found`: what they say."""
    return Import(
        kept=kept,
        already=already - found.refused - (found.differing if update else 0),
        refused=dict(refusals.counts),
        first=refusals.first,
        digest="",
        changed=changed,
        differing=0 if update else found.differing,
        differences=tuple(found.first),
        repeated=found.repeated,
    )


def class_fields(name: str, classes: Classes, kind: BaseKind, least: int | None = None) -> dict:
    """The fields of an Import on the classes of a labelled set; Unusable if they are too few.

    `least`: fewer than the kind asks for.
    """
    least = kind.least if least is None else least
    if not classes.counts and least:
        raise Unusable(
            f"targets/{name} would hold no class at all: no image has one of the {kind.name}"
        )
    if len(classes.counts) == 1 < least:
        [label] = classes.counts
        raise Unusable(
            f"targets/{name} would hold one class only, {quoted(label)}, and a classifier of one "
            "class says nothing: give images of other classes too, in the same import"
        )
    lines = (*split_notes(classes.splits), *class_notes(classes, kind))
    return {"classes": len(classes.counts), "splits": classes.splits, "notes": lines}


def looked_at(rows: Iterable[SourceRow]) -> Iterator[SourceRow]:
    """The rows, the first of them read: what cannot be read is told before anything is done."""
    rows = iter(rows)
    return chain(list(islice(rows, 1)), rows)


def nothing(folder: Path, refusals: Refusals) -> Unusable:
    """The error of a source without a usable row."""
    why = ""
    if refusals.first:
        where, image, reason = (refusals.first[0][key] for key in ("where", "image", "reason"))
        why = f"; the first: {where}, {image or 'no image'}: {reason}"
    cure = "check the source and its images"
    return Unusable(f"nothing could be imported into {folder}{why}; {cure}")


def told_of(progress: Progress, name: str, done: int, total: int | None, text: str) -> None:
    """`progress` of one source of several."""
    progress(done, total, f"{name}: {text}")
