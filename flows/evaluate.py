"""Stage evaluate: one record per model with its accuracy on the test split and what it costs to run.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too count as wrong in
a lower bound of the accuracy, reported beside it.
"""

import itertools
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.compute import field

from engine.digest import digest
from flows import dvcmetrics, intact, settings
from flows.code import ROOT, code
from flows.command import main
from flows.orchestrate import flow, progress, task
from flows.pool import apart, current, each, side_by_side
from flows.runners import gathered, named, runner
from flows.settings import folder_of
from flows.tracking import stage_run
from models.blocks.ranges import Count, Listed, Pixels, Positive, Unique

HASHTAGS = settings.OUT / "corpus" / "hashtags"
ARM = ("candidate", "target", "init", "mode", "labels", "size")


@task
def cost(weights: Path, size: int, **measured: Any) -> dict[str, Any]:
    """What one network costs on this device: its seeds share it. Nothing else of the stage runs meanwhile."""
    from flows import records

    return records.cost(weights, size, **measured)


def duplicated(file: Path, target: str) -> set[str]:
    """Ids of the images of a labelled set that the posts hold too, dropped posts apart; ValueError for no such file."""
    ours = (field("store_a") == "hashtags") & (field("store_b") == f"targets/{target}") & ~field("dropped")
    try:
        return set(pq.read_table(file, columns=["id_b"], filters=ours)["id_b"].to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} is no table of duplicates ({error}): run the stage corpus again") from error


def known_features(weights: Path) -> list[Path]:
    """Files with the posts' features by a pretrained network, in the order of the posts; made where there are none.

    They stay until a network, the posts or the code is another: computing them takes longer than testing a network.
    """
    from flows import records

    key = digest(weights, HASHTAGS / "index.parquet", *code("evaluate", {}), ROOT / "models")
    kept = settings.STATE / "features" / key
    if not kept.exists():
        intact.shards(HASHTAGS)
        pool, part = current(), kept.with_suffix(".part")
        shutil.rmtree(kept.parent, ignore_errors=True)
        parts = records.parts(HASHTAGS, pool.processes if pool else 1)
        files = [part / f"{number:03d}.safetensors" for number in range(len(parts))]
        calls = zip(itertools.repeat(weights), itertools.repeat(HASHTAGS), parts, files, strict=False)
        each(records.search_features, list(calls))
        part.rename(kept)
    return sorted(kept.glob("*.safetensors"))


@task
def learnt(weights: Path, folder: Path) -> set[str]:
    """Ids of the test images that the posts trained on show too, as neighbours by a pretrained network tell."""
    from flows import records

    known, (ids, _) = known_features(weights), records.images(folder)
    starts = range(0, len(ids), records.BATCH)  # whole batches, however many processes there are
    calls = [(weights, HASHTAGS, known, folder, first, first + records.BATCH) for first in starts]
    with progress("duplicates") as show:
        found = each(records.learnt, calls, lambda done: show(done, len(calls), "by the pretrained network"))
    return set().union(*found)


@task(task_run_name="test {name}")
def tested(name: str, arm: dict[str, Any], folder: Path, size: int, duplicates: set[str]) -> dict[str, Any]:
    """The record of an arm with its accuracy on the test split, images resized to `size` pixels."""
    from flows import records

    weights = settings.OUT / "finetune" / arm["candidate"] / f"{arm['name']}.safetensors"
    found = apart(records.tested, weights, folder, size, duplicates, arm["val_top1"])
    network = digest(arm["candidate"], arm["head"], size)  # what seeds and inits share
    return arm | found | {"size": size, "weights": str(weights), "network": network}


@task
def predicted(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(class, class predicted) of every test image, by the weights of a record."""
    from flows import records

    return records.predicted(Path(record["weights"]), folder_of(record["target"]), record["size"])


def model_record(seeds: list[dict[str, Any]], costs: dict[str, Any]) -> dict[str, Any]:
    """One model out of its seeds: the weights are those of the seed with the best validation accuracy."""
    from engine.statistics import over_seeds

    best = max(seeds, key=lambda record: (record["val_top1"], -record["seed"]))
    own = {key: best[key] for key in (*ARM, "weights", "top1", "top1_low", "top1_high", "top5", "samples")}
    bounds = [record["top1_lower_bound"] for record in seeds]
    mean, low, high = over_seeds([record["top1"] for record in seeds])
    return {
        "model": "-".join(str(best[key]) for key in ARM) + "px",
        **own,
        **{key: best[key] for key in ("chosen", "scores", "fit", "held_out")},
        "top1_mean": mean,
        "top1_mean_low": low,
        "top1_mean_high": high,
        "top1_lower_bound": best["top1_lower_bound"],
        "top1_mean_lower_bound": over_seeds(bounds)[0],
        "val_top1": sum(record["val_top1"] for record in seeds) / len(seeds),
        "seeds": [record["seed"] for record in seeds],
        "top1_seeds": [record["top1"] for record in seeds],
        **costs,
    }


def gains(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points that pretraining adds to from-scratch, seed by seed (the same labels), where all else is equal."""
    from engine.statistics import over_seeds

    by = {tuple(record[key] for key in ARM): record for record in records}
    rows = []
    for record in records:
        arm = {key: record[key] for key in ARM}
        scratch = by.get(tuple((arm | {"init": "scratch"}).values()))
        if record["init"] == "pretrained" and scratch:
            added = [a - b for a, b in zip(record["top1_seeds"], scratch["top1_seeds"], strict=True)]
            mean, low, high = over_seeds(added)
            row = {key: value for key, value in arm.items() if key != "init"}
            row |= {"gain": mean, "gain_low": low, "gain_high": high}
            row |= {"pretrained": record["top1_mean"], "scratch": scratch["top1_mean"], "seeds": len(added)}
            rows.append(row)
    return rows


def tests(target: str, sizes: list[int]) -> tuple[list[tuple], dict[str, Any]]:
    """The arguments of `tested` for all arms of a target set, at every size, and what its records have in common."""
    from flows import records

    folder = folder_of(target)
    files = [settings.OUT / "finetune" / candidate / "records.json" for candidate in settings.load()["candidates"]]
    arms = [record for file in files for record in json.loads(file.read_text()) if record["target"] == target]
    ids, size = records.images(folder)
    duplicates = learnt(settings.OUT / "pretrain" / arms[0]["candidate"] / "model.safetensors", folder)
    duplicates |= duplicated(settings.OUT / "corpus" / "duplicates.parquet", target) & ids
    about = {"test": digest(folder / "index.parquet"), "duplicates": len(duplicates)}
    return [(arm["name"], arm, folder, px, duplicates) for px in sizes or [size] for arm in arms], about


def _tested(show: Callable[..., None], total: int, done: int, name: str) -> None:
    show(done, total, f"test {name}")


def costs(seeds: list[dict[str, Any]], measured: dict[str, Any], show: Callable[..., None]) -> dict[str, Any]:
    """What each network of these records costs, by its key."""
    first = {record["network"]: record for record in reversed(seeds)}
    found = {}
    for done, (network, record) in enumerate(first.items()):
        show(done, len(first), f"costs of {record['name']}")
        found[network] = cost(Path(record["weights"]), record["size"], **measured)
    return found


@flow(task_runner=runner)
def evaluate(
    targets: Listed[str],
    sizes: Unique[Pixels] = [],  # noqa: B006
    batches: Listed[Count] = [1, 64],  # noqa: B006
    runs: Count = 50,
    seconds: Positive = 0.3,
) -> None:
    """Test every fine-tuned network, measure what it costs on this device, and write one record per model and target.

    `sizes`: pixels that the images are tested at; none: those that they are stored with. `batches`: of which latency,
    throughput and memory are measured, in at most so many `runs` or `seconds` each; less where memory runs out.
    """
    section = dict(locals())
    out = settings.OUT / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    with stage_run("evaluate", section) as run, progress("evaluate") as show:
        groups = []
        with side_by_side(not named()):
            for target in targets:
                many, about = tests(target, sizes)
                told = partial(_tested, show, len(many))
                seeds = gathered(tested, many, told)
                arms = itertools.groupby(seeds, key=lambda record: [record[k] for k in ARM])
                groups += [(list(group), about) for _, group in arms]
        priced = costs([group[0] for group, _ in groups], {"batches": batches, "runs": runs, "seconds": seconds}, show)
        records = [model_record(group, priced[group[0]["network"]] | about) for group, about in groups]
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        (out / "gains.json").write_text(json.dumps(gains(records), indent=1) + "\n")
        dvcmetrics.write(out, records, predicted(dvcmetrics.challenger(records)))
        for record in records:
            with run.child(record["model"]) as child:
                child.params({k: record[k] for k in (*ARM, "device", "clock", "dtype", "batch", "weights")})
                child.metrics({k: v for k, v in record.items() if isinstance(v, float)})
        run.files(out)


if __name__ == "__main__":
    main(evaluate)
