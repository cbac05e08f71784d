"""How a network is trained on posts or labels, from its last state on, and measured.

The stage pretrain comes in by `write_weights`, the search by `fit_network`; both lead down to
`train_network`, and from there to engine/training/loop.py. What a training reads, and on how many
threads and processes it runs, follows below.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from corpus.progress import Progress, unseen
from corpus.reading.resampling import epoch_list, repeat_factors
from corpus.reading.sampler import ListDrawer
from engine.core.build import build, options
from engine.core.network import columns_read, network, network_sections, save_network
from engine.core.samples import Rows, cached_by_files, open_split
from engine.training.checkpoints import Checkpoints
from engine.training.distributed import ALONE, present_workers
from engine.training.launching import launch
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Schedule, Training
from engine.transfer.weights import init_of, load_released
from flows.data import intact
from flows.running import settings
from flows.running.orchestrate import progress
from flows.tracking.tracking import Run
from flows.training.threads import own_threads, training_workers

CORPUS = settings.OUT / "corpus"
HASHTAGS = CORPUS / "hashtags"
ACCURACY = {"name": "accuracy"}
Watch = Callable[[float, nn.Module], None]  # epochs so far, and the network


@dataclass(frozen=True)
class Job:
    """All that a training reads of a section of params.yaml: of pretrain's, or of the search's."""

    sections: dict[str, Any]  # backbone, objective, head
    recipe: Recipe
    epochs: float
    seed: int
    data: str  # "hashtags" or "targets/<name>"
    resampling: dict[str, Any]  # of hashtags; labelled images are each seen once an epoch
    resolution: int | None = None  # pixels of the images, where not those stored
    init: dict[str, Any] | None = None  # {file, format} of weights that it starts from

    @classmethod
    def of(cls, section: dict[str, Any]) -> "Job":
        """ValueError, with the nearest key that there is, for one that no recipe has."""
        return cls(
            sections=network_sections(section),
            recipe=Recipe(**options(Recipe, section["recipe"], "recipe")),
            epochs=section["epochs"],
            seed=section["seed"],
            data=section.get("data", "hashtags"),
            resampling=section.get("resampling", {}),
            resolution=section.get("resolution"),
            init=section.get("init"),
        )

    def samples(self) -> Rows:
        """The samples that it learns from."""
        return split_samples(self.data, "train", self.sections["objective"], self.resolution)

    def new_network(self, names: list[str], tell: Callable[[str], Any] = len) -> nn.Module:
        """The network with the weights that its seed gives, those of `init` in its backbone.

        names: of the data's classes. tell: is told what of a file of weights was taken.
        """
        initialise(self.seed)
        module = network(**self.sections, classes=len(names), names=names)
        if self.init:
            tell(load_released(module.backbone, init_of(self.init, "init")))
        return module


def write_weights(
    section: dict[str, Any],
    state: Path,
    run: Run,
    title: str,
    file: Path,
    metric: dict[str, Any] = ACCURACY,
    watch: Watch | None = None,
) -> dict[str, float]:
    """Train, write the weights to a file and the learning curve beside it.

    watch: called after each epoch, the last one too. Returns what the metric tells on the samples
    held out.
    """
    with own_threads(Job.of(section), run, title), progress(title) as show:
        module, names = fit_network(section, state, run, title, show, watch)
        if watch:
            # of the weights that are kept: averaged ones, where the recipe has them so
            watch(section["epochs"], module)
    # with the pixels of the images, so that the file alone is enough to predict with
    job = Job.of(section)
    shards = job.samples().shards
    about = {"size": shards.size}
    if shards.frame_rate:  # of videos
        about["frame_rate"] = shards.frame_rate
    if job.resolution:
        about["tested"] = job.resolution
    save_network(file, module, network_sections(section), names, **about)
    # the last checkpoint has the curve of the whole training: of the steps before a kill too, and
    # of those that other processes took
    _, about = Checkpoints(state).newest()
    curve = file.with_name(file.stem.replace("model", "curve") + ".csv")
    rows = [("step", "loss", "learning_rate"), *about["curve"]]
    with curve.open("w", newline="") as out:
        # csv ends lines with \r\n by itself
        csv.writer(out, lineterminator="\n").writerows(rows)
    return measured(module, section, metric)


def fit_network(
    section: dict[str, Any],
    state: Path,
    run: Run,
    title: str,
    show: Progress,
    watch: Watch | None = None,
) -> tuple[nn.Module, list[str]]:
    """The trained network and its classes, by as many processes as `training_workers` says.

    watch: called after each epoch but the last, of several processes by the first.
    """
    workers = training_workers()
    if workers > 1:
        launch(workers, train_as_worker, section, state, run, title, watch)
    # of several processes, which have kept their finished state, this one only takes it up
    return train_network(section, state, run, show, watch)


def train_as_worker(
    section: dict[str, Any], state: Path, run: Run, title: str, watch: Watch | None = None
) -> None:
    """What each of several processes does; they leave the finished state for `fit_network`."""
    if not present_workers().first:
        train_network(section, state, run, unseen)
        return
    with progress(title) as show:
        # the others wait for it at their next step
        train_network(section, state, run, show, watch)
    # this process may end now, and with it the thread that sends
    run.flush()


def train_network(
    section: dict[str, Any], state: Path, run: Run, show: Progress, watch: Watch | None = None
) -> tuple[nn.Module, list[str]]:
    """Train section["backbone"], from its last state on, as one of the present workers.

    Returns the network and the names of its classes.
    """
    job = Job.of(section)
    samples = job.samples()
    names = samples.shards.classes
    first = present_workers().first
    module = job.new_network(names, print if first else len)
    about = {"sections": job.sections, "names": names}
    # the numbers are those of all workers: one of them logs
    report = run.metrics if first else lambda values, step: None
    training = Training(
        job.recipe, job.epochs, job.seed, state, report, show, watch=watch, about=about
    )
    train(module, samples, training, list_drawer(job, samples))
    return module, names


def measured(
    module: nn.Module, section: dict[str, Any], metric: dict[str, Any] = ACCURACY
) -> dict[str, float]:
    """What a metric tells on the samples held out.

    Of accuracy: a post counts if the prediction is any of its hashtags.
    """
    job = Job.of(section)
    held = split_samples(job.data, "val", job.sections["objective"], job.resolution)
    return scored(module, held, build("metrics", metric, where="metric")).compute()


def image_count(section: dict[str, Any], epochs: float) -> int:
    """How many images so many epochs of this training are."""
    schedule = schedule_of(Job.of(section), epochs)
    return schedule.total * schedule.recipe.batch


def schedule_of(job: Job, epochs: float) -> Schedule:
    """The steps of a training of so many epochs."""
    # ALONE: however many workers share an epoch, they see the same images
    lists = list_drawer(job, job.samples())
    return Schedule.of(Training(job.recipe, epochs, job.seed), lists, ALONE)


# what a training reads


def split_samples(
    data: str, split: str, objective: dict[str, Any], size: int | None = None
) -> Rows:
    """A split of the posts, "hashtags", or of a labelled set, "targets/<name>".

    With the columns that an objective reads, images of `size` pixels where not those stored.
    ValueError where there is no such data.
    """
    if not intact.named_set(data).is_dir():
        if not HASHTAGS.is_dir():
            raise ValueError(f"{CORPUS} is missing: run the stage corpus first (dvc repro corpus)")
        folders = [HASHTAGS, *sorted(CORPUS.glob("targets/*"))]
        known = " or ".join(path.relative_to(CORPUS).as_posix() for path in folders)
        raise ValueError(f"data: {data!r} is not in the corpus: choose {known}")
    columns = columns_read(objective)
    return Rows(open_split(intact.checked_shards(CORPUS / data), split), columns, size=size)


def list_drawer(job: Job, samples: Rows) -> ListDrawer:
    """What draws an epoch's list of images: hashtags resampled, labelled images each once."""
    if job.data == HASHTAGS.name:
        return resampled_list_drawer(**job.resampling)
    return lambda generator: torch.randperm(len(samples), generator=generator)


def resampled_list_drawer(rule: str, length: float) -> ListDrawer:
    """What draws an epoch's list of posts, images with rare hashtags repeated."""
    # each network of a search draws from the same posts: the factors are computed once
    factors = cached_by_files(repeats, HASHTAGS, rule, length)
    return lambda generator: epoch_list(factors, generator)


def repeats(folder: Path, rule: str, length: float) -> np.ndarray:
    """How often each training image stands in a list `length` times as long as the posts."""
    shards = open_split(folder, "train")
    ids, ends = shards.targets.flat, shards.targets.offsets[1:]
    counts = np.bincount(ids, minlength=len(shards.names))
    return repeat_factors(ids, ends, counts, rule, round(length * len(shards)))
