"""What people look at while a network is pretrained: neighbours, spread and rank of its features.

A `Monitoring` is the `watch` of a training: it changes nothing of it. The weights of a training end
with the same bytes with it and without.
"""

import csv
import json
import logging
import os
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus.reading.sampler import MONITORED, seeded
from engine.core.batch import Batch, joined
from engine.core.build import options
from engine.core.network import pixels_read
from engine.core.samples import Rows
from engine.measure.representation import (
    effective_rank,
    feature_spread,
    has_collapsed,
    knn_accuracy,
)
from engine.training.loader import Dataset
from engine.training.predicting import Policy, predicted
from flows.tracking.tracking import Run
from flows.training.learning import Job, schedule_of, split_samples
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Method, Pace
from models.blocks.ranges import Count, Positive

log = logging.getLogger("tagdag")
Row = dict[str, float]  # epoch, step, and what was measured after it
LABEL = "label"
# columns, and what metrics call them
PARTS = {"features": "feature", "embedded": "embedding", "answers": "answer"}
COLLAPSE = (
    "%s, epoch %g: the representation collapses: %s. Where all images look alike, or most "
    "dimensions say the same, more epochs do not help. Usual causes: a learning rate that is too "
    "high for the batch or has no warm-up; a momentum of the teacher that is too low, or weights "
    "that reach it otherwise; a teacher's temperature too near the student's, or a centre that "
    "follows too slowly; a batch too small for batch norm or for negatives; weight decay that is "
    "too strong. Look at the loss (constant near the log of its classes, or near zero), and at "
    "monitor.csv and the objective's own numbers in MLflow"
)


@dataclass(frozen=True)
class Monitor:
    """What is measured while a network is pretrained.

    data: a labelled set, targets/<name>, one label per image: images of its train split are the
        bank of nearest neighbours, those of its val split are told by them. null: no neighbours,
        and the other numbers are of the samples of the training itself that are held out.
    every: epochs from one measurement to the next; another follows at the end.
    images: so many of each split at the most, the same ones every time.
    k: neighbours that vote.
    temperature: that cosines are divided by, before they weigh a vote.
    """

    data: str | None = None
    every: Count = 1
    images: Count = 1000
    k: Count = 20
    temperature: Positive = 0.07


def features(objective: Method, batch: Batch, draws: Draws) -> tuple[Batch, Batch]:
    """Features of images as they are, and labels where they come with them: a policy."""
    found = {"features": objective.features(objective.plain(batch[objective.column]))}
    return found, {name: batch[name] for name in batch if name == LABEL}


def compared(objective: Method, batch: Batch, draws: Draws) -> tuple[Batch, Batch]:
    """The same, with what the loss compares where that is another thing: a policy."""
    found, labels = features(objective, batch, draws)
    images = objective.plain(batch[objective.column])
    answers = objective.answers(images)
    if answers is not None:
        found["answers"] = answers
    elif type(objective).embedded is not Method.embedded:
        found["embedded"] = objective.embedded(images)
    return found, labels


def columns(module: nn.Module, samples: Dataset, policy: Policy) -> Batch:
    """The columns that a policy gives of all samples."""
    parts = [found | labels for _, found, labels in predicted(module, samples, policy)]
    return joined(parts)


def measured(
    module: nn.Module, held: Dataset, bank: Dataset | None, settings: Monitor
) -> dict[str, float]:
    """Spread and rank of images held out, and how well those of a bank tell their classes."""
    found, told = {}, columns(module, held, compared)
    if bank is not None:
        known = columns(module, bank, features)
        pairs = ((each["features"], each[LABEL]) for each in (known, told))
        found["knn_accuracy"] = knn_accuracy(*chain(*pairs), settings.k, settings.temperature)
    for part, name in PARTS.items():
        if part in told:
            found[f"{name}_spread"] = feature_spread(told[part])
            found[f"{name}_rank"] = effective_rank(told[part])
    return found


def collapsed(row: Row) -> bool:
    """Whether a measurement tells of a collapse: of the features, or of what the loss compares."""
    parts = [name.removesuffix("_spread") for name in row if name.endswith("_spread")]
    return any(has_collapsed(row[f"{part}_spread"], row[f"{part}_rank"]) for part in parts)


class Monitoring:
    """Measures the network of one training, and keeps a row of each measurement beside its states.

    Several workers are handed a copy; the first one measures. ValueError for images that are not
    there.
    """

    def __init__(
        self, settings: dict[str, Any], section: dict[str, Any], state: Path, run: Run, title: str
    ) -> None:
        self.settings = Monitor(**options(Monitor, settings, "monitor"))
        self.job, self.run, self.title = Job.of(section), run, title
        # what DVC deletes before a stage lies elsewhere: a killed run has its rows
        self.kept = state / "monitor.json"
        # so that a set or a split that is missing is told before anything is trained
        for split in ("train", "val") if self.settings.data else ("val",):
            self.images(split)

    def images(self, split: str) -> Rows:
        """What is measured on: of a split the same images every time."""
        data, objective = self.settings.data or self.job.data, self.job.sections["objective"]
        samples = split_samples(data, split, objective, self.job.resolution)
        reads = pixels_read(samples.reads)
        if self.settings.data:
            reads[LABEL] = {}
        rows = torch.randperm(len(samples), generator=seeded(0, MONITORED))
        return replace(samples, reads=reads, rows=rows[: self.settings.images].sort().values)

    def __call__(self, epochs: float, module: nn.Module) -> None:
        """Measure after these epochs, where that is due."""
        if epochs == self.job.epochs or epochs % self.settings.every == 0:
            self.measure(epochs, module)

    def measure(self, epochs: float, module: nn.Module) -> None:
        """Measure, keep, log; tell of a collapse the first time."""
        pace = self._pace(epochs)
        if epochs == self.job.epochs:
            # a training that is taken up when it has ended has set no schedule
            module.before_step(pace)
        bank = self.images("train") if self.settings.data else None
        numbers = measured(module, self.images("val"), bank, self.settings) | module.monitors()
        step = pace.iteration + 1
        # a run that was killed after a measurement repeats it
        earlier = [row for row in self.rows() if row["step"] < step]
        row = {"epoch": epochs, "step": step} | numbers
        self._keep([*earlier, row])
        self.run.metrics(numbers, step)
        told = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        print(f"{self.title}, epoch {epochs:g}: {told}")
        if self._to_be_told([*earlier, row]):
            log.warning(COLLAPSE, self.title, epochs, told)

    def _to_be_told(self, rows: list[Row]) -> bool:
        """Whether the last of these rows is the first one to tell of a collapse.

        Two in turn tell: a network in its first steps may look like one. So does the last of all.
        """
        falls = [collapsed(row) for row in rows]
        pairs = [all(pair) for pair in pairwise(falls)]
        if any(pairs[:-1]):
            return False
        return falls[-1] and (rows[-1]["epoch"] == self.job.epochs or pairs[-1:] == [True])

    def _pace(self, epochs: float) -> Pace:
        """Of the last step of these epochs."""
        schedule = schedule_of(self.job, self.job.epochs)
        done = schedule.total
        if epochs < self.job.epochs:
            done = int(epochs) * schedule.per_epoch
        return Pace(done - 1, schedule.total, schedule.per_epoch)

    def rows(self) -> list[Row]:
        """What was measured so far, also by runs that were killed."""
        return json.loads(self.kept.read_text()) if self.kept.is_file() else []

    def _keep(self, rows: list[Row]) -> None:
        """On disk, whole, before a state is that goes on from here."""
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        partial = self.kept.with_suffix(".partial")
        with partial.open("w") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.kept)

    def write(self, file: Path) -> None:
        """All rows as CSV."""
        rows = self.rows()
        with file.open("w", newline="") as out:
            # csv ends lines with \r\n by itself
            writer = csv.DictWriter(out, list(rows[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
