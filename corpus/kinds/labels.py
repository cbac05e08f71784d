"""Labels: images of one class each, to fine-tune and test on."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from corpus.records.cells import cell_text
from corpus.records.kind import BaseKind
from corpus.records.record import Record, Split
from corpus.records.spelling import spelled


class Label(Record):
    """One labelled image of a target set."""

    label: Annotated[str, Field(min_length=1)]
    split: Split = "train"


class Labels(BaseKind):
    """One class for each image."""

    record = Label
    what = "label"
    columns = {"image": {"read": "jpeg"}, "label": {"read": "class", "of": "targets"}}
    example = {"label": "dog"}
    needed = (("label",),)
    wanted = frozenset({"label"})
    fields = {"label": pa.string()}
    least = 2

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        label = cell_text(raw.get("label"))
        if not label:
            raise ValueError("no label")
        return {"label": label}

    def of_class(self, label: str) -> dict[str, Any]:
        return {"label": label}

    def checked(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"label": spelled(fields["label"])} if fields.get("label") else fields

    def words(self, record: Label) -> tuple[str, ...]:
        return (record.label,)

    def classes(self, table: pa.Table) -> pa.ListArray:
        ends = np.arange(len(table) + 1, dtype=np.int32)
        labels = table["label"].combine_chunks().cast(pa.string())
        return pa.ListArray.from_arrays(pa.array(ends), labels)
