"""Stage evaluate: one record per model with its accuracy on the test split and what it costs to run."""

import itertools
import json
from pathlib import Path
from typing import Any

from torch import nn

from corpus.shards import Shards
from engine.complexity import measure
from engine.digest import digest
from engine.loop import device
from engine.network import restore
from engine.profile import profile
from engine.samples import Rows
from engine.statistics import over_seeds
from flows import settings
from flows.command import main
from flows.finetune import accuracy
from flows.orchestrate import flow, progress, task
from flows.tracking import stage_run

ARM = ("candidate", "init", "mode", "labels")


@task
def cost(weights: Path, size: int, runs: int, batch: int) -> dict[str, Any]:
    """Params, flops, activations, latency, images/s and peak memory of one network: its seeds share them."""
    module, _ = restore(weights)
    deployed = nn.Sequential(module.backbone, module.head)
    return measure(deployed, (3, size, size)) | profile(deployed, size, device(), batch, runs)


@task
def tested(weights: Path, folder: Path) -> dict[str, float]:
    """Top-1 and top-5 on the test split with Wilson's 95 % intervals, in percent."""
    return accuracy(restore(weights)[0], Rows(Shards(folder, "test"), "labels"))


def model_record(seeds: list[dict[str, Any]], costs: dict[str, Any]) -> dict[str, Any]:
    """One model out of its seeds: the weights are those of the seed with the best validation accuracy."""
    chosen = max(seeds, key=lambda record: (record["val_top1"], -record["seed"]))
    mean, low, high = over_seeds([record["top1"] for record in seeds])
    means = {"top1_mean": mean, "top1_mean_low": low, "top1_mean_high": high}
    means |= {name: sum(r[name] for r in seeds) / len(seeds) for name in ("val_top1",)}
    name = "-".join(str(chosen[key]) for key in ARM)
    own = {key: chosen[key] for key in (*ARM, "weights", "top1", "top1_low", "top1_high", "top5", "samples")}
    return (
        {"model": name}
        | own
        | means
        | {"seeds": [r["seed"] for r in seeds], "top1_seeds": [r["top1"] for r in seeds]}
        | costs
    )


def gains(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points that pretraining adds to from-scratch, seed by seed (the same labels), per candidate, mode and number."""
    by = {tuple(record[key] for key in ARM): record for record in records}
    rows = []
    for (candidate, init, mode, labels), record in by.items():
        scratch = by.get((candidate, "scratch", mode, labels))
        if init == "pretrained" and scratch:
            mean, low, high = over_seeds(
                [a - b for a, b in zip(record["top1_seeds"], scratch["top1_seeds"], strict=True)]
            )
            row = {
                "candidate": candidate,
                "mode": mode,
                "labels": labels,
                "gain": mean,
                "gain_low": low,
                "gain_high": high,
            }
            rows.append(
                row
                | {"pretrained": record["top1_mean"], "scratch": scratch["top1_mean"], "seeds": len(record["seeds"])}
            )
    return rows


@flow
def evaluate(target: str, runs: int = 50, batch: int = 64) -> None:
    """Test every fine-tuned network, measure what it costs on this device, and write one record per model."""
    section = dict(locals())
    folder, out = settings.OUT / "corpus" / "targets" / target, settings.OUT / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    files = [settings.OUT / "finetune" / candidate / "records.json" for candidate in settings.load()["candidates"]]
    seeds = [record for file in files for record in json.loads(file.read_text())]
    costs: dict[str, dict[str, Any]] = {}
    with stage_run("evaluate", section) as run, progress("evaluate") as show:
        for done, record in enumerate(seeds):
            show(done, len(seeds), record["name"])
            weights = settings.OUT / "finetune" / record["candidate"] / f"{record['name']}.safetensors"
            record |= tested(weights, folder) | {"weights": str(weights)}
            if record["candidate"] not in costs:
                costs[record["candidate"]] = cost(weights, Shards(folder, "test").size, runs, batch)
        groups = itertools.groupby(seeds, key=lambda record: tuple(record[key] for key in ARM))
        test = {"test": digest(folder / "index.parquet")}
        records = [model_record(list(group), costs[key[0]] | test) for key, group in groups]
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        (out / "gains.json").write_text(json.dumps(gains(records), indent=1) + "\n")
        for record in records:
            with run.child(record["model"]) as child:
                child.params({k: record[k] for k in (*ARM, "device", "dtype", "batch", "weights")})
                child.metrics({k: v for k, v in record.items() if isinstance(v, float)})
        run.files(out)


if __name__ == "__main__":
    main(evaluate)
