"""How a network is trained on posts or labels, from its last state on, and measured.

Pretraining and search use it.
"""

import csv
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from corpus.progress import Progress, unseen
from corpus.reading.resampling import epoch_list, repeat_factors
from engine.core.build import options
from engine.core.cores import cores, processor
from engine.core.digest import digest
from engine.core.environment import value
from engine.core.network import network, network_sections, save_network
from engine.core.samples import Rows, cached_by_files, open_split
from engine.core.threads import torch_threads
from engine.training.accuracy import measure_accuracy
from engine.training.checkpoints import Checkpoints
from engine.training.distributed import ALONE, present_workers
from engine.training.fastest import fastest
from engine.training.launching import launch
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Schedule, Training
from engine.training.splitting import requested_workers
from flows.data import intact
from flows.running import settings
from flows.running.orchestrate import progress
from flows.tracking.tracking import Run
from flows.training.beside import THREADS

CORPUS = settings.OUT / "corpus"
HASHTAGS = CORPUS / "hashtags"
Watch = Callable[[int, nn.Module], None]  # epochs so far, and the network


def repeats(folder: Path, rule: str, length: float) -> np.ndarray:
    """How often each training image stands in a list `length` times as long as the posts."""
    shards = open_split(folder, "train")
    ids, ends = shards.targets.flat, shards.targets.offsets[1:]
    counts = np.bincount(ids, minlength=len(shards.names))
    return repeat_factors(ids, ends, counts, rule, round(length * len(shards)))


def training_list(rule: str, length: float) -> Callable[[torch.Generator], Tensor]:
    """The training list of an epoch, images with rare hashtags repeated."""
    factors = cached_by_files(repeats, HASHTAGS, rule, length)
    return lambda generator: epoch_list(factors, generator)


def split_samples(data: str, split: str) -> Rows:
    """A split of the posts, "hashtags", or of a labelled set, "targets/<name>"."""
    if not intact.named_set(data).is_dir():
        known = [
            path.relative_to(CORPUS).as_posix()
            for path in [HASHTAGS, *sorted(CORPUS.glob("targets/*"))]
        ]
        if not HASHTAGS.is_dir():
            raise ValueError(f"{CORPUS} is missing: run the stage corpus first (dvc repro corpus)")
        raise ValueError(f"data: {data!r} is not in the corpus: choose {' or '.join(known)}")
    return Rows(
        open_split(intact.checked_shards(CORPUS / data), split),
        "hashtags" if data == "hashtags" else "labels",
    )


def hit_rate(module: nn.Module, data: str = "hashtags") -> dict[str, float]:
    """Top-1 and top-5 on held-out images in percent.

    A post counts if the prediction is any of its hashtags.
    """
    return measure_accuracy(module, split_samples(data, "val")).compute()


def training_lists(section: dict[str, Any]) -> Callable[[torch.Generator], Tensor]:
    """The training list of an epoch: hashtags resampled, labelled images each once."""
    samples = split_samples(section.get("data", "hashtags"), "train")
    if samples.kind == "hashtags":
        return training_list(**section["resampling"])
    return lambda generator: torch.randperm(len(samples), generator=generator)


def image_count(section: dict[str, Any], epochs: float) -> int:
    """How many images so many epochs of this training are."""
    recipe = Recipe(**options(Recipe, section["recipe"], "recipe"))
    plan = Schedule.of(Training(recipe, epochs, section["seed"]), training_lists(section), ALONE)
    return plan.total * plan.recipe.batch


def train_network(
    section: dict[str, Any], state: Path, run: Run, show: Progress, watch: Watch | None = None
) -> tuple[nn.Module, list[str]]:
    """Train section["backbone"], from its last state on, as one of the present workers.

    On the hashtags, or on section["data"].
    """
    samples = split_samples(section.get("data", "hashtags"), "train")
    shards = samples.shards
    recipe = Recipe(**options(Recipe, section["recipe"], "recipe"))
    initialise(section["seed"])
    module = network(**network_sections(section), classes=len(shards.names))
    about = {"sections": network_sections(section), "names": shards.names}
    report = run.metrics if present_workers().first else lambda values, step: None
    training = Training(
        recipe, section["epochs"], section["seed"], state, report, show, watch=watch, about=about
    )
    train(module, samples, training, training_lists(section))
    return module, shards.names


def train_as_worker(section: dict[str, Any], state: Path, run: Run, title: str) -> None:
    """What each of several workers does; they leave the finished state for `fit`."""
    if not present_workers().first:
        train_network(section, state, run, unseen)
        return
    with progress(title) as show:
        train_network(section, state, run, show)
    run.flush()


def fit_network(
    section: dict[str, Any],
    state: Path,
    run: Run,
    title: str,
    show: Progress,
    watch: Watch | None = None,
) -> tuple[nn.Module, list[str]]:
    """The trained network and its classes; search uses it too.

    TAGDAG_WORKERS: how many processes train it.

    Several processes are not watched.
    """
    if training_workers() > 1:
        launch(training_workers(), train_as_worker, section, state, run, title)
    return train_network(section, state, run, show, watch)


def training_workers() -> int:
    """How many processes train a network here: TAGDAG_WORKERS, or one for each GPU."""
    return requested_workers() or max(1, torch.cuda.device_count())


@contextmanager
def own_threads(section: dict[str, Any], run: Run, title: str) -> Iterator[None]:
    """Inside, torch has as many threads as this training is fastest with.

    OMP_NUM_THREADS goes before.

    The number is kept for the network, its batch and the machine: a run that is repeated or goes on
    rounds its sums in the same order, and ends with the same weights.
    """
    if (
        "OMP_NUM_THREADS" in os.environ
        or training_workers() > 1
        or torch.cuda.is_available()
        or cores() == 1
    ):
        yield
        return
    samples = split_samples(section.get("data", "hashtags"), "train")
    machine = (platform.node(), processor(), cores(), torch.__version__)
    key = digest(network_sections(section), section["recipe"], samples.shards.size, machine)
    kept = settings.STATE / "threads" / key
    if not kept.exists():
        number = value(THREADS)  # said where others are trained beside it
        if not number:
            initialise(section["seed"])
            module = network(**network_sections(section), classes=len(samples.shards.names))
            recipe = Recipe(**options(Recipe, section["recipe"], "recipe"))
            number = fastest(module, samples, recipe, section["seed"], [1, cores()])
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{number}\n")
    number = int(kept.read_text())
    print(f"{title}: on {number} of {cores()} threads (OMP_NUM_THREADS sets another number)")
    run.tags(threads=str(number))
    with torch_threads(number):
        yield


def write_weights(
    section: dict[str, Any], state: Path, run: Run, title: str, file: Path
) -> dict[str, float]:
    """Train, write the weights to a file and the learning curve beside it.

    The held-out hit rates.
    """
    with own_threads(section, run, title), progress(title) as show:
        module, names = fit_network(section, state, run, title, show)
    save_network(file, module, network_sections(section), names)
    _, about = Checkpoints(state).newest()
    curve = file.with_name(file.stem.replace("model", "curve") + ".csv")
    with curve.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(
            [("step", "loss", "learning_rate"), *about["curve"]]
        )
    return hit_rate(module)
