"""Everything that can be wrong with params.yaml, found before the first stage runs."""

import importlib
import inspect
import itertools
from typing import Any

import torch

from corpus.names import checked_name, checked_set
from corpus.tags.resampling import POWERS
from engine.build import build, options, plugin
from engine.network import network
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe
from engine.transfer import probe
from engine.tuning import INITS, KEYS, WHERE, combinations
from flows.settings import PARAMS, STAGES, load


def check() -> None:
    """Check every section of params.yaml, nested ones and plug-ins too, before anything runs or is deleted."""
    params = load()
    if not isinstance(params["candidates"], dict):
        raise ValueError(f"{PARAMS}: candidates: write {{baseline: <backbone>, winner: <backbone>}}")
    for key, name in params["candidates"].items():
        plugin("backbones", name, f"candidates.{key}")
    for stage in STAGES:
        function = inspect.unwrap(getattr(importlib.import_module(f"flows.{stage}"), stage))
        options(function, params[stage], stage, given=("candidate",))
    names(params)
    tuned, tested = (params[stage]["targets"] for stage in ("finetune", "evaluate"))
    if not tested or not set(tested) <= set(tuned):
        raise ValueError(
            f"evaluate.targets is {tested}, finetune.targets {tuned}: networks are tested on the classes that they "
            "were fine-tuned on, so name one or more of the same labelled sets in both"
        )
    reference = params["search"]["reference"]
    build("spaces", params["search"]["space"], where="search.space")
    with torch.device("meta"):
        build("backbones", reference, where="search.reference")
    for stage in ("search", "pretrain", "finetune"):
        training(stage, params[stage], reference)
    hyperparameters(params["finetune"])


def names(params: dict[str, Any]) -> None:
    """Check the names that become paths and names in MLflow."""
    for key in params["candidates"]:
        checked_name(key, f"{PARAMS}: candidates")
    for stage in ("finetune", "evaluate"):
        for target in params[stage]["targets"]:
            checked_name(target, f"{stage}.targets")
    checked_set(params["search"].get("data", "hashtags"), "search.data")
    checked_name(params["register"].get("name", "tagdag"), "register.name")


def training(stage: str, section: dict[str, Any], reference: dict[str, Any]) -> None:
    """Check what the sections of the stages that train have in common."""
    with torch.device("meta"):
        network(reference, section["objective"], section["head"], 2, where=stage)
    recipe(section["recipe"], f"{stage}.recipe")
    rule = section.get("resampling", {"rule": "natural"})["rule"]
    if rule not in POWERS:
        raise ValueError(f"{stage}.resampling.rule: unknown {rule!r}; choose one of {', '.join(POWERS)}")


def recipe(section: dict[str, Any], where: str) -> None:
    """Check a recipe and the optimizer that it names."""
    optimizer(Recipe(**options(Recipe, section, where)), torch.nn.Linear(1, 1))


def hyperparameters(section: dict[str, Any]) -> None:
    """Check every combination that the fine-tuning chooses from."""
    for init, mode in itertools.product(INITS, KEYS):
        for chosen in combinations(section["grid"], init, mode):
            if mode == "full":
                recipe(section["recipe"] | chosen, WHERE)
            elif mode == "linear":
                options(probe, chosen, WHERE, ("module", "samples"))
            else:
                build("heads", {"name": "knn", "samples": 1} | chosen, WHERE, channels=[1], classes=1)
