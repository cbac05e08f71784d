"""What a network answers to the samples of a task, with the metric of the answers: one pass."""

import json
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from engine.core.batch import Batch
from engine.core.materialised import arrow_column
from engine.core.samples import Rows
from engine.training.predicting import Policy, predicted
from flows.measuring.fieldfiles import field_files
from flows.measuring.predictions import Predicted
from flows.measuring.scenedetails import SceneDetails, kind_of, prepared
from metrics.blocks.metric import Metric


def _guessed(metric: Metric, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The class of the highest score (n,), and its probability (n,)."""
    # the metric's own choice among equal scores, which argmax need not make
    most = min(max(getattr(metric, "topk", (1,))), scores.shape[1])
    best = scores.topk(most).indices[:, :1]
    return best[:, 0].cpu(), scores.float().softmax(1).gather(1, best)[:, 0].cpu()


def answered(module: nn.Module, samples: Rows, metric: Metric, policy: Policy) -> Predicted:
    """What was predicted of each sample, in their order, and the metric of all.

    Of scenes also what is told of them beside the metric (flows/measuring/scenedetails.py).
    """
    guesses, scores, kind = [], [], kind_of(metric)
    details = SceneDetails(metric, kind) if kind else None
    for indices, *both in predicted(module, samples, policy):
        predictions, targets = prepared(*both)
        metric.update(predictions, targets)
        if details:
            details.add(samples.ids(indices), predictions, targets)
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
    told = details.told(samples.shards.classes) if details else None
    if not guesses:
        return Predicted(value, None, None, numbers, more, told)
    guess, score = torch.cat(guesses).short().numpy(), torch.cat(scores).numpy()
    return Predicted(value, guess, score, numbers, more, told)


def _apart(predictions: Batch, targets: Batch) -> Batch:
    """The columns of both; of a name that both have that of the targets is called true_<name>."""
    renamed = {f"true_{name}" if name in predictions else name: targets[name] for name in targets}
    return {**predictions, **renamed}


def write_predictions(
    file: Path, module: nn.Module, samples: Rows, policy: Policy, kind: str | None = None
) -> None:
    """Write a row per sample: its id, the columns of predictions and of targets.

    `python -m metrics.<name> FILE` computes a metric of them (metrics/formats/tables.py). kind: of
    the scenes, where it is such a task: then also in the files of the field, in a folder beside it
    (flows/measuring/fieldfiles.py).
    """
    about = {b"tagdag": json.dumps({"names": list(samples.shards.classes)}).encode()}
    files = field_files(file.parent, kind, samples.shards.classes) if kind else None
    with ExitStack() as stack:
        writer = None
        for indices, *found in predicted(module, samples, policy):
            predictions, targets = prepared(*found)
            both = {**predictions, **targets}
            if files:
                files.add(samples.ids(indices), predictions, targets)
                both = _apart(*found)
            columns = {name: arrow_column(column) for name, column in both.items()}
            table = pa.table({"id": pa.array(samples.ids(indices), pa.string()), **columns})
            table = table.replace_schema_metadata(about)
            if writer is None:
                made = pq.ParquetWriter(file, table.schema, compression="zstd")
                writer = stack.enter_context(made)
            writer.write_table(table)
    if files:
        files.write()
