"""What a run decided of each distinct hashtag, as a table: out/corpus/forms.parquet.

Columns: form, posts (int64), rule (that decided), through (the forms that it led to), language (of
a plural by rule), names (of its classes, in the vocabulary or not; none: dropped) and posts_of
(int64, of each name, as they count for the vocabulary). The schema's metadata key b"rules" has the
settings.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus.hashtags.canonical import RULES
from corpus.hashtags.story import FormDecision
from corpus.tags.tagging import Tagging

FILE = "forms.parquet"
ROWS = 1 << 17  # of a row group


def write_decisions(path: Path, tagging: Tagging, settings: Mapping[str, Any]) -> None:
    """Writes the table, most posts first, ties by form."""
    forms, canon, names = tagging.table.forms, tagging.canon, tagging.names
    ends = pa.array(np.concatenate([[0], np.cumsum(names.sizes)]).astype(np.int32))
    plurals = pa.array(list(canon.plurals), pa.large_string())
    languages = pa.array([plural.language for plural in canon.plurals.values()], pa.string())
    columns = {
        "form": forms.cast(pa.string()),
        "posts": pa.array(tagging.table.counts),
        "rule": pa.array(canon.rules, pa.string()).dictionary_encode(),
        "through": pa.array(canon.through, pa.list_(pa.string())),
        "language": languages.take(pc.index_in(forms, plurals)).dictionary_encode(),
        "names": pa.ListArray.from_arrays(ends, names.names.take(pa.array(names.ids))),
        "posts_of": pa.ListArray.from_arrays(ends, pa.array(tagging.name_counts[names.ids])),
    }
    told = json.dumps(_rules(settings))
    table = pa.table(columns).replace_schema_metadata({b"rules": told.encode()})
    order = pc.sort_indices(table, [("posts", "descending"), ("form", "ascending")])
    pq.write_table(table.take(order), path, compression="zstd", row_group_size=ROWS)


def read_decisions(path: Path, wanted: Collection[str]) -> dict[str, FormDecision]:
    """What the run decided of the wanted forms, and of those that these led to.

    ValueError for a damaged file.
    """
    found: dict[str, FormDecision] = {}
    with _readable(path):
        new = set(wanted)
        while new:
            rows = pq.read_table(path, filters=[("form", "in", sorted(new))]).to_pylist()
            read = {row.pop("form"): FormDecision(**row | _tuples(row)) for row in rows}
            found |= read
            led_to = {form for decision in read.values() for form in decision.through}
            new = led_to - found.keys()
    return found


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        fix = "run the stage again: dvc repro corpus"
        raise ValueError(f"{path}: damaged ({error}); {fix}") from error


def _tuples(row: Mapping[str, Any]) -> dict[str, tuple]:
    return {key: tuple(value) for key, value in row.items() if isinstance(value, list)}


def same_rules(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a run had these settings of hashtags."""
    with _readable(path):
        told = (pq.read_schema(path).metadata or {}).get(b"rules", b"{}")
    return json.loads(told) == json.loads(json.dumps(_rules(settings)))


def _rules(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: settings[key] for key in (*RULES, "wordnet") if key in settings}
