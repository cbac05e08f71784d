"""What a network says of a data set, as columns in a file: pseudo-labels, features, confidences.

A row per sample that is kept, by its id; no pixel is copied. The file says in its metadata of which
weights, policy, rule and index it is made, and of objects which threshold kept how many.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field
from torch import Tensor, nn

from corpus.progress import Progress, unseen
from engine.core.batch import Batch, Column, joined
from engine.core.listed import packed
from engine.core.materialised import METADATA, arrow_column
from engine.core.samples import Rows
from engine.inference.instances import matching, only, threshold_kept
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
    instances: `match` keeps the surest objects, as many per image as the labelled images have:
        Radosavovic, Dollár, Girshick, Gkioxari, He 2018, arXiv 1712.04440, section 3. null: those
        of at least `least`, where `column` is box_score.
    empty: whether images of which no object is kept stay, as images without an object.
    """

    column: str = "confidence"
    least: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    per_class: Count | None = None
    instances: Literal["match"] | None = None
    empty: bool = True

    def objects(self, predictions: Batch, average: float) -> tuple[Batch, dict[str, Any]]:
        """(all images with the objects that are kept, what is to be told of the rule).

        average: objects of a labelled image. ValueError as `check`.
        """
        self.check(predictions)
        scores = predictions["box_score"]
        told: dict[str, Any] = {"threshold": self.least}
        if self.instances == "match":
            told = matching(torch.cat(scores), average, len(scores))
        kept, numbers = threshold_kept(scores, told["threshold"])
        return only(predictions, kept), told | numbers

    @property
    def of_objects(self) -> bool:
        """Whether objects are chosen, and not images."""
        return self.instances is not None or self.column == "box_score"

    def check(self, predictions: Batch) -> None:
        """ValueError where these predictions, of whichever images, do not fit the rule."""
        if self.of_objects and ("box_score" not in predictions or self.per_class):
            raise ValueError(
                "keep: instances, and least of the column box_score, choose objects, which the "
                f"policy gives none of (it gives: {', '.join(predictions)}), and per_class images "
                "of one class each: take a policy of objects, and leave per_class out"
            )
        if self.of_objects:
            return
        wanted = [self.column, *(["label"] if self.per_class else [])]
        missing = [name for name in wanted if name not in predictions]
        if missing:
            raise ValueError(
                f"keep: the policy gives no column {missing[0]!r} (it gives: "
                f"{', '.join(predictions)}): name one of them, or another policy"
            )
        if isinstance(predictions[self.column], list):
            raise ValueError(
                f"keep: {self.column!r} has several numbers of each image: name a column of one, "
                "or box_score"
            )

    def __call__(self, predictions: Batch) -> Tensor:
        """Rows to keep, in order; ValueError as `check`."""
        self.check(predictions)
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
    keep: Keep,
    file: Path,
    about: dict[str, Any],
    show: Progress = unseen,
    average: float = 0.0,
) -> int:
    """Write what a network predicts under a policy of the samples that a rule keeps; their number.

    about: plain values for the file's metadata. average: objects of a labelled image, for the rule
    that matches them. OutOfMemory where one sample does not fit.
    """
    parts, done = [], 0
    for indices, predictions, _ in predicted(module, samples, policy):
        keep.check(predictions)  # before hours of them
        parts.append({name: _kept_small(column) for name, column in predictions.items()})
        done += len(indices)
        show(done, len(samples), file.stem)
    whole = joined(parts)
    rows = torch.zeros(0, dtype=torch.int64)
    if whole and keep.of_objects:
        whole, told = keep.objects(whole, average)
        many = torch.tensor([len(scores) for scores in whole["box_score"]])
        rows = torch.nonzero((many > 0) | keep.empty).flatten()
        about = about | {"objects": told}
    elif whole:
        rows = keep(whole)
    columns = {"id": pa.array(samples.ids(rows), pa.string())}
    for name, column in whole.items():
        some = column[rows] if isinstance(column, Tensor) else [column[row] for row in rows]
        columns[name] = arrow_column(some, column)
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about)})
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(file)  # a kill leaves no half file
    return len(rows)


def _kept_small(column: Column) -> Column:
    """On the CPU, masks as run lengths: those of all images would fill the memory."""
    if isinstance(column, Tensor):
        return column.cpu()
    return [packed(row.cpu()) for row in column]
