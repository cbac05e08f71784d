"""What a network says of a data set, as columns in a file: pseudo-labels, features, confidences.

A row per sample that is kept, by its id; no pixel is copied. The file says in its metadata of which
weights, policy, rule and index it is made.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field
from torch import Tensor, nn

from corpus.progress import Progress, unseen
from engine.core.batch import Batch, joined
from engine.core.materialised import METADATA, arrow_column
from engine.core.samples import Rows
from engine.training.predicting import Policy, predicted
from models.blocks.ranges import Count


@dataclass(frozen=True)
class Keep:
    """The rule by which predictions are kept.

    column: of the predictions, a number per sample, such as `confidence`; the more the better.
    least: what that has to be at the least.
    per_class: at most so many of each class, those of the highest number first: the K images of a
        class of Yalniz, Jégou, Chen, Paluri, Mahajan 2019, "Billion-scale semi-supervised learning
        for image classification", arXiv 1905.00546, section 3. null: all.
    """

    column: str = "confidence"
    least: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    per_class: Count | None = None

    def __call__(self, predictions: Batch) -> Tensor:
        """Rows to keep, in order; ValueError where a column is missing."""
        wanted = [self.column, *(["label"] if self.per_class else [])]
        missing = [name for name in wanted if name not in predictions]
        if missing:
            raise ValueError(
                f"keep: the policy gives no column {missing[0]!r} (it gives: "
                f"{', '.join(predictions)}): name one of them, or another policy"
            )
        number = predictions[self.column]
        good = number >= self.least
        if self.per_class is None:
            return torch.nonzero(good).flatten()
        kept = torch.zeros_like(good)
        for label in predictions["label"].unique():
            rows = torch.nonzero(good & (predictions["label"] == label)).flatten()
            # stable: of equal numbers the first samples
            order = number[rows].argsort(descending=True, stable=True)[: self.per_class]
            kept[rows[order]] = True
        return torch.nonzero(kept).flatten()


def materialise(
    module: nn.Module,
    samples: Rows,
    policy: Policy,
    keep: Callable[[Batch], Tensor],
    file: Path,
    about: dict[str, Any],
    show: Progress = unseen,
) -> int:
    """Write what a network predicts under a policy of the samples that a rule keeps; their number.

    about: plain values for the file's metadata. OutOfMemory where one sample does not fit.
    """
    parts, done = [], 0
    for indices, predictions, _ in predicted(module, samples, policy):
        parts.append({name: column.cpu() for name, column in predictions.items()})
        done += len(indices)
        show(done, len(samples), file.stem)
    whole = joined(parts)
    rows = keep(whole) if whole else torch.zeros(0, dtype=torch.int64)
    columns = {"id": pa.array(samples.ids(rows), pa.string())}
    columns |= {name: arrow_column(column[rows]) for name, column in whole.items()}
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about)})
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(file)  # a kill leaves no half file
    return len(rows)
