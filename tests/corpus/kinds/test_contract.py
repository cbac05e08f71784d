"""What every kind has: it runs over all files of corpus/kinds."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from corpus.reading.columns import FORMS
from corpus.records import kind as module
from corpus.records.kind import BaseKind, kind, kinds
from corpus.sources.rows import described_row
from corpus.store.indexing import LISTS
from corpus.store.plan import record_of


@pytest.fixture(params=kinds())
def one(request):
    return kind(request.param)


def recorded(one):
    row = described_row("line 1", "a.jpg", dict(one.example), one.name, "a.jpg")
    assert not row.reason
    return record_of(row.fields, one)


def test_its_example_is_a_record_that_comes_back_from_its_line(one):
    record = recorded(one)
    assert record.id == "a.jpg" and record.image == "pending"
    assert one.record.model_validate_json(record.model_dump_json()) == record
    again = one.checked(record.model_dump())
    assert one.record(**again) == record, "what is stored is stored as it is"
    assert all(isinstance(word, str) for word in one.words(record))


def test_a_row_that_says_nothing_is_refused_with_a_reason(one):
    row = described_row("line 1", "a.jpg", {}, one.name, "a.jpg")
    assert row.reason and "a.jpg" in row.fields["image"]


def test_a_table_is_read_for_what_the_example_has(one):
    asked = {name for names in one.needed for name in names} | one.wanted
    assert one.others or set(one.example) <= asked


def test_each_column_has_a_reader_and_its_list_is_written(one):
    lists = {}
    for column in one.columns.values():
        assert column["read"] in FORMS
        if "of" in column:
            lists[column["of"]] = LISTS[column["read"]]
    if one.posted:  # the stage corpus chooses their classes
        return
    asked = {**one.fields, **one.shapes}
    fields = {name: [recorded(one).model_dump()[name]] for name in asked}
    table = pa.table(fields, schema=pa.schema(asked))
    names = one.classes(table).flatten().to_pylist()
    assert bool(names) == bool(one.least) and len(one.classes(table)) == 1
    written = one.lists(table, {name: number for number, name in enumerate(sorted(names))})
    assert {name: column.type for name, column in written.items()} == lists
    assert all(len(column) == 1 for column in written.values())


def test_a_file_without_its_kind_is_told(monkeypatch):
    with pytest.raises(ValueError, match="unknown kind 'nothing' of data set: choose one of"):
        kind("nothing")
    monkeypatch.setattr(module, "kinds", lambda: ["cells"])
    monkeypatch.setattr(module, "import_module", lambda name: SimpleNamespace(Kind=BaseKind))
    with pytest.raises(ValueError, match=r"corpus/kinds/cells\.py has no class of its name"):
        kind.__wrapped__("cells")
