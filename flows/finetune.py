"""Stage finetune: a candidate's backbone, pretrained and from scratch, on few labels of the target set.

Protocols of Mahajan et al. 2018 (arXiv 1805.00932), section 3: `full` replaces the hashtag layer and trains the whole
network; `linear` fits L2-regularised logistic regression on the frozen features.
"""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import nn

from engine import checkpoint
from engine.accuracy import accuracy
from engine.build import options
from engine.loop import Training, initialise, predict, seeded, train
from engine.network import network, parts, save
from engine.probe import logistic_regression
from engine.recipe import Recipe
from engine.samples import Rows, few_per_class, opened
from flows import settings
from flows.command import main
from flows.orchestrate import flow, progress, task
from flows.tracking import Run, stage_run


def probe(module: nn.Module, samples: Rows, l2: float) -> None:
    """Replace the head's weights by the logistic regression on the frozen features of the samples."""
    features, labels = (torch.cat(part) for part in zip(*predict(module, samples, "features"), strict=True))
    weight, bias = logistic_regression(features, labels, module.head.fc.out_features, l2)
    with torch.no_grad():
        module.head.fc.weight.copy_(weight)
        module.head.fc.bias.copy_(bias)


def trained(arm: dict[str, Any], section: dict[str, Any], folder: Path, report: Any) -> tuple[nn.Module, list[str]]:
    """One network trained on its few labels, and its class names."""
    shards = opened(folder, "train")
    initialise(arm["seed"])
    module = network(**parts(section), classes=len(shards.names))
    if arm["init"] == "pretrained":
        weights, _ = checkpoint.load(section["weights"])
        checkpoint.load_weights(module.backbone, weights, "backbone.")
    samples = few_per_class(shards, arm["labels"], seeded(arm["seed"], 3))
    if arm["mode"] == "linear":
        probe(module, samples, section["l2"])
    else:
        recipe = Recipe(**options(Recipe, section["recipe"] | section["rates"][arm["init"]], "finetune.recipe"))
        train(module, samples, Training(recipe, section["epochs"], arm["seed"], report=report))
    return module, shards.names


@task(task_run_name="{name}", retries=1, retry_delay_seconds=5)
def one(name: str, arm: dict[str, Any], section: dict[str, Any], folder: Path, out: Path, run: Run) -> dict[str, Any]:
    """Train and validate one (init, mode, labels, seed), or take what a killed run had finished; returns its record."""
    inputs = (folder / "index.parquet", section["weights"], Path("engine"), Path("models/blocks"))
    finished = settings.state("finetune", arm, section, *inputs)
    with run.child(name) as child:
        child.params(arm)
        if not finished.exists():
            module, names = trained(arm, section, folder, child.metrics)
            measured = accuracy(module, Rows(opened(folder, "val"), "labels")).compute()
            save(finished, module, parts(section), names, record=arm | {"name": name, "val_top1": measured["top1"]})
        shutil.copyfile(finished, out / f"{name}.safetensors")
        record = checkpoint.load(finished)[1]["record"]
        child.metrics({"val_top1": record["val_top1"]})
        child.files(out / f"{name}.safetensors")
    return record


@flow(flow_run_name="finetune@{candidate}")
def finetune(
    candidate: str,
    target: str,
    head: dict[str, Any],
    objective: dict[str, Any],
    recipe: dict[str, Any],
    rates: dict[str, dict[str, float]],
    epochs: float = 40,
    labels_per_class: list[int] = [20],  # noqa: B006 - read only
    inits: list[Literal["pretrained", "scratch"]] = ["pretrained", "scratch"],  # noqa: B006
    modes: list[Literal["full", "linear"]] = ["full", "linear"],  # noqa: B006
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    l2: float = 0.01,
) -> None:
    """Fine-tune a candidate for every init, mode, number of labels and seed; writes weights and validation records.

    `rates` overrides the recipe per init: from scratch needs another learning rate than a pretrained network.
    """
    section = dict(locals()) | {"weights": settings.OUT / "pretrain" / candidate / "model.safetensors"}
    section["backbone"] = yaml.safe_load((settings.OUT / "search" / f"{candidate}.yaml").read_text())
    folder, out = settings.OUT / "corpus" / "targets" / target, settings.OUT / "finetune" / candidate
    out.mkdir(parents=True, exist_ok=True)
    shared = {k: v for k, v in section.items() if k not in ("labels_per_class", "inits", "modes", "seeds")}
    arms = [
        {"candidate": candidate, "init": i, "mode": m, "labels": n, "seed": s}
        for i, m, n, s in itertools.product(inits, modes, labels_per_class, seeds)
    ]
    records = []
    with stage_run(f"finetune@{candidate}", section) as run, progress(f"finetune {candidate}") as show:
        for arm in arms:
            name = "-".join(str(arm[key]) for key in ("init", "mode", "labels", "seed"))
            show(len(records), len(arms), name)
            records.append(one(name, arm, shared, folder, out, run))
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        run.files(out / "records.json")
    settings.forget("finetune")


if __name__ == "__main__":
    main(finetune, "candidate")
