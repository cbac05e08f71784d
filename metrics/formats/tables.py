"""Two .parquet files joined by id, or one that has both, or two .npy files.

- Parquet: a column `id`, and one for each of those that the metric reads; a row of several numbers
  is a list. A target that is null is not known. A row of several boxes is a list of lists, one of
  masks their run lengths: {height, width, counts}. Where one file has both, and both have a column
  of a name, that of the targets is called `true_<name>`.
- .npy: the one array that the metric reads of the file, a row per sample, in the order of the other
  file.

Names of classes may stand in a Parquet file's metadata: JSON under `tagdag`, in it `names`.
"""

import itertools
from collections.abc import Sequence, Set
from pathlib import Path

import torch
from torch import Tensor

from metrics.blocks.metric import Names, Reads
from metrics.blocks.refusing import some
from metrics.formats.pair import Pair, taken
from metrics.formats.stored import Table, Where, column_names, read_table

TRUE = "true_"  # before the name of a column of targets where predictions have one of that name
Wanted = Sequence[tuple[str, ...]]


def read(
    predictions: Path,
    targets: Path | None,
    reads: Reads,
    common: bool = False,
    where: Where | None = None,
) -> Pair:
    """What a metric reads, a row per sample, in the order of the predictions.

    targets: None where the file of predictions has both. where: columns of that file and the value
    that a row must have there. common: leave out ids that one file alone has. ValueError with cause
    and fix where a file, a column or the ids do not fit.
    """
    asked, answers, where = _names_of(reads.predictions), _names_of(reads.targets), where or {}
    if targets is None:
        return _both(predictions, asked, answers, reads.more, where)
    given = read_table(predictions, asked, where)
    true = read_table(targets, answers, {}, reads.more)
    _all_given(given, asked, predictions)
    names = given.names or true.names
    if given.ids is not None and true.ids is not None:
        rows, true_rows = _matched(given.ids, true.ids, common)
        samples = [given.ids[row] for row in rows.tolist()]
        columns, others = taken(given.columns, rows), taken(true.columns, true_rows)
        return Pair(columns, others, names, samples)
    one, other = (len(next(iter(each.columns.values()))) for each in (given, true))
    if one != other:
        raise ValueError(
            f"{predictions} has {one} rows, {targets} has {other}: give files of the same samples "
            "in the same order, or two Parquet files with a column id"
        )
    return Pair(given.columns, true.columns, names, _samples(given))


def _both(file: Path, asked: Wanted, answers: Wanted, more: Sequence[str], where: Where) -> Pair:
    """What one file has of both; ValueError where a truth has the name of what is predicted."""
    predicted = set(itertools.chain.from_iterable(asked))
    own = {name.removeprefix(TRUE) for name in column_names(file) if name.startswith(TRUE)}
    theirs = own | predicted
    either = [_with_theirs(names, theirs) for names in answers]
    others = [name for each in more for name in _with_theirs((each,), theirs)]
    whole = read_table(file, [*asked, *either], where, others)
    _all_given(whole, asked, file)
    # what of the truth alone is known, as crowds, is no column of a prediction
    given = {
        name: column
        for name, column in whole.columns.items()
        if name.removesuffix("_known") in predicted
    }
    true = {
        name.removeprefix(TRUE): column
        for name, column in whole.columns.items()
        if name not in given
    }
    return Pair(given, true, whole.names, _samples(whole))


def _with_theirs(names: tuple[str, ...], theirs: Set[str]) -> tuple[str, ...]:
    """The names of the truth, of which some are called otherwise than the predictions' own."""
    return tuple(name if name not in theirs else f"{TRUE}{name}" for name in names)


def _names_of(columns: Names) -> list[tuple[str, ...]]:
    return [(names,) if isinstance(names, str) else names for names in columns]


def _samples(table: Table) -> list[str]:
    """What each row is called: its number, where it has no id."""
    return table.ids or list(map(str, range(len(next(iter(table.columns.values()))))))


def _all_given(table: Table, wanted: Sequence[tuple[str, ...]], file: Path) -> None:
    """ValueError where a sample lacks its predictions: only a target may be unknown."""
    for name in itertools.chain.from_iterable(wanted):
        lacking = ~table.columns.get(f"{name}_known", torch.ones(1, dtype=torch.bool))
        if lacking.any():
            raise ValueError(
                f"{file}: {name} is null in {int(lacking.sum())} of {len(lacking)} rows; give the "
                "predictions of all samples, or leave out those rows and give --common"
            )


def _matched(given: list[str], true: list[str], common: bool) -> tuple[Tensor, Tensor]:
    """Rows of both files with the same ids, in the order of the first."""
    place = {key: row for row, key in enumerate(true)}
    alone = [key for key in given if key not in place]
    lacking = sorted(set(true) - set(given))
    if (alone or lacking) and not common:
        told = [
            f"{len(keys)} of {total} {what} ({some(keys)})"
            for keys, total, what in (
                (alone, len(given), "predictions have no target"),
                (lacking, len(true), "targets have no prediction"),
            )
            if keys
        ]
        raise ValueError(
            f"{'; '.join(told)}: give files of the same samples, or --common to count those that "
            "both have"
        )
    pairs = [(row, place[key]) for row, key in enumerate(given) if key in place]
    rows = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
    return rows[:, 0], rows[:, 1]
