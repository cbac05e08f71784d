"""Several tables as one source: a folder or s3:// prefix of part files, or a pattern.

A part whose folder or name says train, val, validation or test has its rows in that split where no
column says otherwise. A part that cannot be read costs what it holds, not the other parts.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from corpus.progress import Progress
from corpus.sources import s3
from corpus.sources.folders import below
from corpus.sources.manifests import Table, is_manifest, table_rows
from corpus.sources.patterns import (
    VARIES,
    expand_braces,
    fixed_part,
    local,
    matching_objects,
    name_within,
)
from corpus.sources.places import images_of
from corpus.sources.rows import SourceRow, refused_row
from corpus.sources.splits import split_within
from corpus.sources.spooled import NoRoom


def _table(url: str, name: str) -> Table:
    return Table(url, name, split_within(name.split("/")))


def _folder(root: str, left: Counter[str]) -> Iterator[Table]:
    for name in below(Path(root), left):
        if is_manifest(name):
            yield _table(f"{root.rstrip('/')}/{name}", name)
        else:
            left["file beside tables"] += 1


def _pattern(source: str) -> Iterator[Table]:
    for one in expand_braces(source):
        if one.startswith("s3://"):
            urls = matching_objects(one) if fixed_part(one) != one else [one]
            yield from (_table(url, name_within(source, url)) for url in urls)
            continue
        found = local(one)
        if not found:
            raise ValueError(f"there is no table {one}; check the path or the pattern")
        yield from (_table(path, name_within(source, path)) for path in found)


def part_tables(source: str, left: Counter[str]) -> Iterator[Table]:
    """The tables of a source."""
    if Path(source).is_dir():
        yield from _folder(source, left)
    elif is_manifest(source):
        yield from _pattern(source)
    else:
        prefix = f"{source.rstrip('/')}/"
        for url in s3.keys(prefix):
            if is_manifest(url):
                yield _table(url, url[len(prefix) :])
            else:
                left["file beside tables"] += 1


def _base(source: str) -> str:
    """Where the images of several tables are: the folder itself, or that of the pattern."""
    if Path(source).is_dir() or not is_manifest(source):
        return source
    return VARIES.split(source)[0].rpartition("/")[0] or "."


def part_rows(
    source: str,
    images: str | None,
    kind: str,
    spool: Path,
    left: Counter[str],
    progress: Progress | None = None,
) -> Iterator[SourceRow]:
    """The rows of all parts by their names; without `images` these lie where each part does."""
    base = _base(source) if images is None else images
    images_of(base, source)  # refused at once, not with each part
    for table in part_tables(source, left):
        nearest = table._replace(nearest=images is None)
        try:
            yield from table_rows(nearest, base, kind, spool, progress)
        except (s3.Unreachable, NoRoom):
            raise
        except ValueError as error:
            yield refused_row(table.name, f"table cannot be read: {error}", table.name)
