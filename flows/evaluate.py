"""Stage evaluate: one record per model with its accuracy on the test split and what it costs to run.

Mahajan et al. 2018 (arXiv 1805.00932) on duplicates: test images that the training corpus holds too count as wrong in
a lower bound of the accuracy, reported beside it.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyarrow.compute import field
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from corpus.shards.shards import Shards
from engine.accuracy import accuracy
from engine.complexity import measure
from engine.digest import digest
from engine.network import restore
from engine.profile import profile
from engine.samples import Rows, opened
from engine.statistics import over_seeds
from engine.training.distributed import device
from engine.training.meter import Progress
from engine.twins import learnt_twins
from flows import intact, settings
from flows.command import main
from flows.orchestrate import flow, progress, task
from flows.settings import folder_of
from flows.tracking import stage_run

ARM = ("candidate", "target", "init", "mode", "labels", "size")


@task
def cost(weights: Path, size: int, **measured: Any) -> dict[str, Any]:
    """Params, flops, activations, latency, images/s and peak memory of one network: its seeds share them."""
    module, _ = restore(weights)
    deployed = nn.Sequential(module.backbone, module.head)
    trained = any(p.requires_grad for p in module.head.parameters())  # nearest neighbours are not
    return measure(deployed, (3, size, size)) | profile(deployed, size, device(), training=trained, **measured)


def duplicated(file: Path, target: str) -> set[str]:
    """Ids of the images of a labelled set that the posts hold too, dropped posts apart; ValueError for no such file."""
    ours = (field("store_a") == "hashtags") & (field("store_b") == f"targets/{target}") & ~field("dropped")
    try:
        return set(pq.read_table(file, columns=["id_b"], filters=ours)["id_b"].to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} is no table of duplicates ({error}): run the stage corpus again") from error


@task
def learnt(weights: Path, posts: Path, folder: Path) -> set[str]:
    """Ids of the test images that the posts trained on show too, as neighbours by a pretrained network tell."""
    test = opened(folder, "test")
    with progress("duplicates") as show:
        found = learnt_twins(
            restore(weights)[0], [Shards(posts, split) for split in ("train", "val")], test, progress=show
        )
    return {key for key, twin in zip(test.ids, found.tolist(), strict=True) if twin}


@task
def tested(weights: Path, folder: Path, size: int, duplicates: set[str]) -> dict[str, Any]:
    """Top-1 and top-5 on the test split with Wilson's 95 % intervals, and top-1's lower bound, in percent.

    Images are resized to `size` pixels where they are stored with others; validation top-1 is at that size, too.
    """
    module, shards = restore(weights)[0], opened(folder, "test")
    metric = accuracy(module, Rows(shards, "labels", size=size))
    validation = accuracy(module, Rows(opened(folder, "val"), "labels", size=size)).compute()["top1"]
    alone = torch.tensor([key not in duplicates for key in shards.ids])
    bound = 100 * int((metric.correct()[:, 0] & alone).sum()) / len(alone)
    return metric.compute() | {"top1_lower_bound": bound, "val_top1": validation}


def model_record(seeds: list[dict[str, Any]], costs: dict[str, Any]) -> dict[str, Any]:
    """One model out of its seeds: the weights are those of the seed with the best validation accuracy."""
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


def on_target(target: str, sizes: list[int], measured: dict[str, Any], show: Progress) -> list[dict[str, Any]]:
    """The records of all models of a target set, at every size; `measured`: how costs are."""
    folder = folder_of(target)
    files = [settings.OUT / "finetune" / candidate / "records.json" for candidate in settings.load()["candidates"]]
    arms = [record for file in files for record in json.loads(file.read_text()) if record["target"] == target]
    test, costs, seeds = opened(folder, "test"), {}, []
    first = settings.OUT / "pretrain" / arms[0]["candidate"] / "model.safetensors"
    duplicates = learnt(first, intact.shards(settings.OUT / "corpus" / "hashtags"), folder)
    duplicates |= duplicated(settings.OUT / "corpus" / "duplicates.parquet", target) & set(test.ids)
    about = {"test": digest(folder / "index.parquet"), "duplicates": len(duplicates)}
    work = list(itertools.product(sizes or [test.size], arms))
    for done, (size, arm) in enumerate(work):
        show(done, len(work), arm["name"])
        weights = settings.OUT / "finetune" / arm["candidate"] / f"{arm['name']}.safetensors"
        seeds.append(arm | tested(weights, folder, size, duplicates) | {"size": size, "weights": str(weights)})
        network = seeds[-1]["network"] = digest(arm["candidate"], arm["head"], size)  # what seeds and inits share
        if network not in costs:
            costs[network] = cost(weights, size, **measured)
    groups = [list(group) for _, group in itertools.groupby(seeds, key=lambda record: [record[k] for k in ARM])]
    return [model_record(group, costs[group[0]["network"]] | about) for group in groups]


@flow
def evaluate(
    targets: list[str],
    sizes: list[PositiveInt] = [],  # noqa: B006
    batches: list[PositiveInt] = [1, 64],  # noqa: B006
    runs: PositiveInt = 50,
    seconds: PositiveFloat = 0.3,
) -> None:
    """Test every fine-tuned network, measure what it costs on this device, and write one record per model and target.

    `sizes`: pixels that the images are tested at; none: those that they are stored with. `batches`: of which latency,
    throughput and memory are measured, in at most so many `runs` or `seconds` each; less where memory runs out.
    """
    section = dict(locals())
    out = settings.OUT / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    with stage_run("evaluate", section) as run, progress("evaluate") as show:
        measured = {"batches": batches, "runs": runs, "seconds": seconds}
        records = [record for target in targets for record in on_target(target, sizes, measured, show)]
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        (out / "gains.json").write_text(json.dumps(gains(records), indent=1) + "\n")
        for record in records:
            with run.child(record["model"]) as child:
                child.params({k: record[k] for k in (*ARM, "device", "clock", "dtype", "batch", "weights")})
                child.metrics({k: v for k, v in record.items() if isinstance(v, float)})
        run.files(out)


if __name__ == "__main__":
    main(evaluate)
