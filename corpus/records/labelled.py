"""What labelled images and labelled videos share: one class each, as it is written."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from corpus.records.cells import cell_text
from corpus.records.kind import BaseKind
from corpus.records.record import Record, Split
from corpus.records.spelling import spelled


class Label(Record):
    """One labelled image or video of a target set."""

    label: Annotated[str, Field(min_length=1)]
    split: Split = "train"


class LabelKind(BaseKind):
    """A kind with one class each, without `columns`."""

    record = Label
    what = "label"
    example: ClassVar[Mapping[str, Any]] = {"label": "dog"}
    needed = (("label",),)
    wanted = frozenset({"label"})
    fields: ClassVar[Mapping[str, pa.DataType]] = {"label": pa.string()}
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
