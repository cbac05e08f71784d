"""Stage evaluate: one record per model of a task, its metric on the test split and what it costs.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too
count as wrong in a lower bound of the accuracy, reported beside it.

Read in this order:

- flows/measuring/records.py: what is measured of one network,
- flows/measuring/answers.py: what it answers, and the metric of that,
- flows/measuring/scenedetails.py: what is told of objects and of maps beside their metric,
- flows/measuring/fieldfiles.py: their predictions in the files of COCO,
- flows/measuring/scenecosts.py: how long networks of objects take on test images,
- engine/measure/profile.py: how its costs are,
- flows/measuring/duplicates.py: which test images the posts hold too,
- flows/measuring/alike.py: which networks cost the same, which tests are the same,
- flows/measuring/summary.py: one record per model out of its seeds, and what pretraining adds,
- flows/measuring/dvcmetrics.py: what DVC shows of them.
"""

import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flows.cli.command import main
from flows.data.intact import checked_shards, named_set
from flows.data.made import labelled_set
from flows.measuring import details, duplicates, dvcmetrics, predictions
from flows.measuring.alike import USUAL, labels_seen, network_of, tested_digest, usual_size
from flows.measuring.duplicates import HASHTAGS, Pair
from flows.measuring.lognumbers import record_numbers
from flows.measuring.predictions import Examined, Predicted
from flows.measuring.summary import (
    ARM,
    SCRATCH,
    Record,
    arm_of,
    best_seed,
    gains,
    model_record,
    over_reference,
)
from flows.measuring.verdict import roles
from flows.running import settings
from flows.running.orchestrate import flow, progress, task
from flows.running.pool import call_in_pool, open_pool
from flows.running.runners import map_task, named_runner, task_runner
from flows.tracking.tracking import Run, stage_run
from models.blocks.ranges import Count, Listed, Pixels, Positive, Unique

PREDICTIONS = "predictions.parquet"


class Group(NamedTuple):
    """The seeds of a model, what each predicted, the test samples, what all have in common."""

    seeds: list[Record]
    predicted: list[Predicted]
    images: Examined
    about: Record
    network: str


@task
def measure_cost(weights: Path, size: int, **measured: Any) -> Record:
    """What one network costs on this device. Nothing else of the stage runs meanwhile."""
    # torch, which --help need not wait for
    from flows.measuring import records

    return records.cost(weights, size, **measured)


@task(task_run_name="test {name}")
def evaluate_arm(
    name: str,
    arm: Record,
    folder: Path,
    size: int,
    duplicates: set[str],
    section: Record,
) -> tuple[Record, Predicted]:
    """The record of an arm with its numbers on the test split, and what it predicted there.

    Images are resized to `size` pixels. section: of the task.
    """
    from flows.measuring import records

    weights = settings.OUT / "finetune" / arm["task"] / f"{arm['name']}.safetensors"
    given = weights, folder, size, duplicates, section, arm["val"]
    found, predicted = call_in_pool(records.tested, *given)
    return arm | found | {"size": size, "weights": str(weights)}, predicted


def twins_of(section: Record, folder: Path, images: Any) -> list[Pair]:
    """The test images that the posts hold too; none where there are no pixels, or no posts."""
    if not images.pixels or not (HASHTAGS / "index.parquet").is_file():
        return []
    # one network tells all models' duplicates, so that they count alike in each
    others = {SCRATCH, *(section.get("released") or {})}
    first = next((init for init in section["inits"] if init not in others), None)
    # of videos, and of images that keep their aspect, pixels tell, and no network
    first = first if images.still else None
    weights = settings.OUT / "pretrain" / first / "model.safetensors" if first else None
    return duplicates.of(section["data"], weights, folder, images.ids)


def arms_to_evaluate(
    name: str, section: Record, sizes: list[int]
) -> tuple[list[tuple], Examined, Record, list[Pair]]:
    """What `evaluate_arm` is called with for all arms of a task, at every size.

    Also the test samples, what the records have in common, and the duplicates.
    """
    from flows.measuring import records

    section = section | {"data": labelled_set(section["data"])}
    folder = checked_shards(named_set(section["data"]))
    arms = json.loads((settings.OUT / "finetune" / name / "records.json").read_text())
    images = records.images(folder)
    pairs = twins_of(section, folder, images)
    found = {image for image, _, _ in pairs}
    flags = np.array([image in found for image in images.ids], bool)
    about = {
        "test": tested_digest(folder, section),
        "duplicates": len(found),
        "train": images.train,
    }
    about |= {key: section[key] for key in ("data", "metric", "policy")}
    many = []
    usual = usual_size(section, images.size)
    for px, arm in itertools.product(sizes or [usual], arms):
        many.append((arm["name"], arm, folder, px, found, section))
    return many, Examined(images.ids, images.label, flags, images.names), about, pairs


def _told(show: Callable[..., None], total: int, done: int, name: str) -> None:
    show(done, total, f"test {name}")


def costs_by_network(
    groups: list[Group], measured: Record, show: Callable[..., None]
) -> dict[str, Record]:
    """What each network of these models costs, by its name: measured once."""
    # reversed, so that of several models of one network the first is left
    first = {group.network: group for group in reversed(groups)}
    found = {}
    for done, (network, group) in enumerate(first.items()):
        show(done, len(first), f"costs of {network}")
        record, policy = group.seeds[0], group.about["policy"]
        given = Path(record["weights"]), record["size"]
        where = {"folder": named_set(group.about["data"])} if "data" in group.about else {}
        found[network] = measure_cost(*given, policy=policy, **where, **measured)
    return found


def group_models(
    found: list[tuple[Record, Predicted]], images: Examined, about: Record
) -> list[Group]:
    """The models of a task out of its networks, one after the other."""
    groups = []
    shared = {key: value for key, value in about.items() if key != "train"}
    # groupby joins neighbours only: the fine-tuning writes the seeds of a model one after another
    for _, some in itertools.groupby(found, key=lambda each: arm_of(each[0])):
        seeds, predicted = zip(*some, strict=True)
        seen = labels_seen(seeds[0]["labels"], about["train"])
        network = network_of(best_seed(seeds), len(images.classes))
        more = shared | {"labels_seen": seen}
        groups.append(Group(list(seeds), list(predicted), images, more, network))
    return groups


def write_models(
    out: Path, groups: list[Group], priced: dict[str, Record], reference: str
) -> list[Record]:
    """Write what is told of the models and what they predicted; their records.

    reference: the candidate that the others are compared with.
    """
    models = []
    for seeds, predicted, images, about, network in groups:
        more = {"network": network} | priced[network] | about
        models.append((model_record(seeds, images, predicted, more), images, predicted))
    # before they are written: it adds to the records
    over_reference(models, reference)
    records = [record for record, _, _ in models]
    (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    (out / "gains.json").write_text(json.dumps(gains(models), indent=1) + "\n")
    predictions.write(out, models)
    details.write(out, models)
    best = dvcmetrics.challenger(records)
    [(images, of_seeds)] = [more for record, *more in models if record is best]
    one = of_seeds[best["seeds"].index(best["seed"])]
    dvcmetrics.write(out, records, predictions.confusion(images, one))
    return records


def write_predictions(out: Path, record: Record) -> None:
    """Write what the registered network of the challenger predicts of each test sample.

    It is asked once more: the scores of all networks of a stage may be too large to be kept.
    """
    from flows.measuring import records

    folder = named_set(record["data"])
    given = Path(record["weights"]), folder, record["size"], record, out / PREDICTIONS
    call_in_pool(records.predict_test, *given)


def log_files(run: Run, out: Path) -> None:
    """All files of a stage with its run, but for maps of images, of which there is one for each."""
    inside = list((out / details.FOLDER).iterdir())
    if not any(each.is_dir() for each in inside):
        return run.files(out)
    files = [each for each in (*out.iterdir(), *inside) if each.is_file()]
    return run.files(*sorted(files))


def log_models(run: Run, records: list[Record]) -> None:
    """A run below the stage's for every model."""
    for record in records:
        with run.child(record["model"]) as child:
            told = (*ARM, "device", "clock", "dtype", "batch", "weights")
            child.params({key: record[key] for key in told})
            child.metrics(record_numbers(record))


@flow(flow_run_name="evaluate@{task}", task_runner=task_runner)
def evaluate(
    task: str,
    sizes: Unique[Pixels] = [],  # noqa: B006
    batches: Listed[Count] = [1, 64],  # noqa: B006
    runs: Count = 50,
    seconds: Positive = 0.3,
) -> None:
    """Test every fine-tuned network of a task, measure what it costs here, and write one record
    per model.

    The task's section says what is tested, by which metric and under which policy.

    sizes: pixels that the images are tested at; none: those that they are stored with. Of images
        that keep their aspect px of the shorter side, none: as the task's objective has it.
    batches: images of a forward pass of which latency, throughput and memory are measured.
    runs: passes of each measurement at most.
    seconds: of each measurement at most; seven times as long again where the machine is busy, less
        where memory runs out.
    """
    # before any other name is bound here: only the arguments
    arguments = dict(locals())
    section = USUAL | settings.named("tasks", task)
    out = settings.OUT / "evaluate" / task
    out.mkdir(parents=True, exist_ok=True)
    with (
        stage_run(f"evaluate@{task}", arguments | section) as run,
        progress(f"evaluate {task}") as show,
    ):
        # a task runner of Prefect's has processes of its own
        with open_pool(not named_runner()):
            many, images, about, pairs = arms_to_evaluate(task, section, sizes)
            found = map_task(evaluate_arm, many, partial(_told, show, len(many)))
        # after the pool has gone, whose processes would take the cores that are timed
        measured = {"batches": batches, "runs": runs, "seconds": seconds}
        groups = group_models(found, images, about)
        priced = costs_by_network(groups, measured, show)
        duplicates.write(out, pairs)
        records = write_models(out, groups, priced, roles(settings.load_params())[0])
        write_predictions(out, dvcmetrics.challenger(records))
        log_models(run, records)
        log_files(run, out)


if __name__ == "__main__":
    main(evaluate, "task")
