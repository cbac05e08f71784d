"""What a network answers to the samples of a task, with the metric of the answers: one pass."""

import json
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from engine.core.materialised import arrow_column
from engine.core.samples import Rows
from engine.training.predicting import Policy, predicted
from flows.measuring.predictions import Predicted
from metrics.blocks.metric import Metric


def _guessed(metric: Metric, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The class of the highest score (n,), and its probability (n,)."""
    # the metric's own choice among equal scores, which argmax need not make
    most = min(max(getattr(metric, "topk", (1,))), scores.shape[1])
    best = scores.topk(most).indices[:, :1]
    return best[:, 0].cpu(), scores.float().softmax(1).gather(1, best)[:, 0].cpu()


def answered(module: nn.Module, samples: Rows, metric: Metric, policy: Policy) -> Predicted:
    """What was predicted of each sample, in their order, and the metric of all."""
    guesses, scores = [], []
    for _, predictions, targets in predicted(module, samples, policy):
        metric.update(predictions, targets)
        if "scores" in predictions and "label" in targets:
            guess, score = _guessed(metric, predictions["scores"])
            guesses.append(guess)
            scores.append(score)
    each, numbers = metric.each(), metric.compute()
    value = None if each is None else each.double().numpy()
    again = getattr(metric, "resampled", None)
    # of a mean over samples the samples themselves are resampled: all are at hand
    found = again() if again and each is None else None
    more = None if found is None else found.numpy()
    if not guesses:
        return Predicted(value, None, None, numbers, more)
    guess, score = torch.cat(guesses).short().numpy(), torch.cat(scores).numpy()
    return Predicted(value, guess, score, numbers, more)


def write_predictions(file: Path, module: nn.Module, samples: Rows, policy: Policy) -> None:
    """Write a row per sample: its id, the columns of predictions and of targets.

    `python -m metrics.<name> FILE` computes a metric of them (metrics/formats/tables.py).
    """
    about = {b"tagdag": json.dumps({"names": list(samples.shards.classes)}).encode()}
    with ExitStack() as stack:
        writer = None
        for indices, predictions, targets in predicted(module, samples, policy):
            both = {**predictions, **targets}
            columns = {name: arrow_column(column) for name, column in both.items()}
            table = pa.table({"id": pa.array(samples.ids(indices), pa.string()), **columns})
            table = table.replace_schema_metadata(about)
            if writer is None:
                made = pq.ParquetWriter(file, table.schema, compression="zstd")
                writer = stack.enter_context(made)
            writer.write_table(table)
