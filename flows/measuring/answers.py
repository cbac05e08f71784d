"""What a network answers to the samples of a task, with the metric of the answers: one pass."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from engine.core.build import build
from engine.core.samples import Rows
from engine.training.predicting import predicted
from flows.measuring.predictions import Predicted
from metrics.blocks.metric import Batch, Metric

FILE = "predictions.parquet"


def metric_of(task: dict[str, Any]) -> Metric:
    """The metric that a task's section names, which has seen nothing."""
    return build("metrics", task["metric"], "metric")


def asked(module: nn.Module, samples: Rows) -> Iterator[tuple[Batch, Batch]]:
    """(predictions, targets) of all samples, a batch at a time, in their order."""
    for _, predictions, targets in predicted(module, samples):
        yield predictions, targets


def _guessed(metric: Metric, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The class of the highest score (n,), and its probability (n,)."""
    # the metric's own choice among equal scores, which argmax need not make
    most = min(max(getattr(metric, "topk", (1,))), scores.shape[1])
    best = scores.topk(most).indices[:, :1]
    return best[:, 0].cpu(), scores.float().softmax(1).gather(1, best)[:, 0].cpu()


def answered(
    module: nn.Module, samples: Rows, metric: Metric
) -> tuple[Predicted, np.ndarray | None]:
    """What was predicted of each sample, in their order; the class of each, where each has one."""
    guesses, scores, labels = [], [], []
    for predictions, targets in asked(module, samples):
        metric.update(predictions, targets)
        if "scores" in predictions and "label" in targets and targets["label"].ndim == 1:
            guess, score = _guessed(metric, predictions["scores"])
            guesses.append(guess)
            scores.append(score)
            labels.append(targets["label"].cpu())
    each, numbers = metric.each(), metric.compute()
    value = None if each is None else each.double().numpy()
    if not guesses:
        return Predicted(value, None, None, numbers), None
    guess, score = torch.cat(guesses).short().numpy(), torch.cat(scores).numpy()
    return Predicted(value, guess, score, numbers), torch.cat(labels).short().numpy()


def _column(column: Tensor | list[Tensor]) -> pa.Array:
    """A row per sample: a number, or a list of numbers."""
    if isinstance(column, list):
        return pa.array([each.cpu().flatten().tolist() for each in column])
    values = column.cpu()
    if values.ndim == 1:
        return pa.array(values.numpy())
    width = values[0].numel()
    return pa.FixedSizeListArray.from_arrays(pa.array(values.flatten().numpy()), width)


def write_predictions(file: Path, module: nn.Module, samples: Rows) -> None:
    """Write a row per sample: its id, the columns of predictions and of targets.

    `python -m metrics.<name> FILE FILE` computes a metric of them.
    """
    first, writer = 0, None
    for predictions, targets in asked(module, samples):
        columns = {name: _column(column) for name, column in {**predictions, **targets}.items()}
        count = len(next(iter(columns.values())))
        ids = samples.ids(torch.arange(first, first + count))
        table = pa.table({"id": pa.array(ids, pa.string()), **columns})
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
        first += count
    if writer is not None:
        writer.close()
