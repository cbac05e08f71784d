"""Stage evaluate: one record per model, its accuracy on the test split and what it costs to run.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too
count as wrong in a lower bound of the accuracy, reported beside it.

Read in this order:

- flows/measuring/records.py: what is measured of one network,
- engine/measure/profile.py: how its costs are,
- flows/measuring/duplicates.py: which test images the posts hold too,
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

from engine.core.digest import digest
from flows.cli.command import main
from flows.data.intact import folder_of
from flows.measuring import duplicates, dvcmetrics, predictions
from flows.measuring.duplicates import Pair
from flows.measuring.predictions import Examined, Predicted
from flows.measuring.summary import ARM, Record, best_seed, gains, model_record, over_reference
from flows.running import settings
from flows.running.orchestrate import flow, progress, task
from flows.running.pool import call_in_pool, open_pool
from flows.running.runners import map_task, named_runner, task_runner
from flows.tracking.tracking import Run, stage_run
from models.blocks.ranges import Count, Listed, Pixels, Positive, Unique

UNPRICED = {"k", "temperature"}  # options of a head that change what it says, not what it costs


class Group(NamedTuple):
    """The seeds of a model, what each predicted, the test images, what all have in common."""

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
) -> tuple[Record, Predicted]:
    """The record of an arm with its accuracy on the test split, and what it predicted there.

    Images are resized to `size` pixels.
    """
    from flows.measuring import records

    weights = settings.OUT / "finetune" / arm["candidate"] / f"{arm['name']}.safetensors"
    given = weights, folder, size, duplicates, arm["val_top1"]
    found, predicted = call_in_pool(records.tested, *given)
    return arm | found | {"size": size, "weights": str(weights)}, predicted


def network_of(record: Record, classes: int) -> str:
    """What a network is called whose costs are told once: seeds, inits and modes share it."""
    head = {key: value for key, value in record["head"].items() if key not in UNPRICED}
    parts = [head.pop("name"), *(f"{key} {value}" for key, value in head.items())]
    told = f"{record['candidate']}, head {' '.join(map(str, parts))}"
    return f"{told}, {classes} classes, {record['size']} px"


def labels_seen(labels: int | str, available: dict[str, int]) -> dict[str, int]:
    """How many training labels of each class a model has seen."""
    if labels == "all":
        return available
    return {name: min(int(labels), count) for name, count in available.items()}


def arms_to_evaluate(
    target: str, sizes: list[int]
) -> tuple[list[tuple], Examined, Record, list[Pair]]:
    """What `evaluate_arm` is called with for all arms of a target set, at every size.

    Also the test images, what the records have in common, and the duplicates.
    """
    from flows.measuring import records

    folder, candidates = folder_of(target), settings.load_params()["candidates"]
    files = [settings.OUT / "finetune" / name / "records.json" for name in candidates]
    arms = [arm for file in files for arm in json.loads(file.read_text())]
    arms = [arm for arm in arms if arm["target"] == target]
    images = records.images(folder)
    # one network tells all models' duplicates, so that they count alike in each
    pretrained = settings.OUT / "pretrain" / arms[0]["candidate"] / "model.safetensors"
    pairs = duplicates.of(target, pretrained, folder, images.ids)
    found = {image for image, _, _ in pairs}
    flags = np.array([image in found for image in images.ids], bool)
    about = {"test": digest(folder / "index.parquet"), "duplicates": len(found)}
    about["train"] = images.train
    many = [(arm["name"], arm, folder, px, found) for px in sizes or [images.size] for arm in arms]
    return many, Examined(images.ids, images.label, flags, images.names), about, pairs


def _told(show: Callable[..., None], total: int, done: int, name: str) -> None:
    show(done, total, f"test {name}")


def costs_by_network(
    groups: list[Group], measured: Record, show: Callable[..., None]
) -> dict[str, Record]:
    """What each network of these models costs, by its name: measured once."""
    # reversed, so that of several models of one network the first is left
    first = {group.network: group.seeds[0] for group in reversed(groups)}
    found = {}
    for done, (network, record) in enumerate(first.items()):
        show(done, len(first), f"costs of {network}")
        found[network] = measure_cost(Path(record["weights"]), record["size"], **measured)
    return found


def group_models(
    found: list[tuple[Record, Predicted]], images: Examined, about: Record
) -> list[Group]:
    """The models of a target out of its networks, one after the other."""
    groups = []
    # groupby joins neighbours only: the fine-tuning writes the seeds of a model one after another
    for _, some in itertools.groupby(found, key=lambda each: [each[0][key] for key in ARM]):
        seeds, predicted = zip(*some, strict=True)
        seen = labels_seen(seeds[0]["labels"], about["train"])
        more = {key: about[key] for key in ("test", "duplicates")} | {"labels_seen": seen}
        network = network_of(best_seed(seeds), len(images.classes))
        groups.append(Group(list(seeds), list(predicted), images, more, network))
    return groups


def write_models(out: Path, groups: list[Group], priced: dict[str, Record]) -> list[Record]:
    """Write what is told of the models and what they predicted; their records."""
    models = []
    for seeds, predicted, images, about, network in groups:
        more = {"network": network} | priced[network] | about
        models.append((model_record(seeds, images, predicted, more), images, predicted))
    # before they are written: it adds to the records
    over_reference(models)
    records = [record for record, _, _ in models]
    (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    (out / "gains.json").write_text(json.dumps(gains(models), indent=1) + "\n")
    predictions.write(out, models)
    best = dvcmetrics.challenger(records)
    [(images, of_seeds)] = [more for record, *more in models if record is best]
    one = of_seeds[best["seeds"].index(best["seed"])]
    dvcmetrics.write(out, records, predictions.confusion(images, one))
    return records


def log_models(run: Run, records: list[Record]) -> None:
    """A run below the stage's for every model."""
    for record in records:
        with run.child(record["model"]) as child:
            told = (*ARM, "device", "clock", "dtype", "batch", "weights")
            child.params({key: record[key] for key in told})
            numbers = {key: value for key, value in record.items() if isinstance(value, float)}
            busy = record["busy"]
            child.metrics({dvcmetrics.compared(key, busy): v for key, v in numbers.items()})


@flow(task_runner=task_runner)
def evaluate(
    targets: Listed[str],
    sizes: Unique[Pixels] = [],  # noqa: B006
    batches: Listed[Count] = [1, 64],  # noqa: B006
    runs: Count = 50,
    seconds: Positive = 0.3,
) -> None:
    """Test every fine-tuned network, measure what it costs here, and write one record per model.

    targets: labelled sets that are tested on; the first decides who is champion.
    sizes: pixels that the images are tested at; none: those that they are stored with.
    batches: images of a forward pass of which latency, throughput and memory are measured.
    runs: passes of each measurement at most.
    seconds: of each measurement at most; seven times as long again where the machine is busy, less
        where memory runs out.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals())
    out = settings.OUT / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    with stage_run("evaluate", section) as run, progress("evaluate") as show:
        groups, pairs = [], {}
        # a task runner of Prefect's has processes of its own
        with open_pool(not named_runner()):
            for target in targets:
                many, images, about, pairs[target] = arms_to_evaluate(target, sizes)
                found = map_task(evaluate_arm, many, partial(_told, show, len(many)))
                groups += group_models(found, images, about)
        # after the pool has gone, whose processes would take the cores that are timed
        measured = {"batches": batches, "runs": runs, "seconds": seconds}
        priced = costs_by_network(groups, measured, show)
        duplicates.write(out, pairs)
        log_models(run, write_models(out, groups, priced))
        run.files(out)


if __name__ == "__main__":
    main(evaluate)
