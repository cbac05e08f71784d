"""Everything that can be wrong with params.yaml, found before the first stage runs."""

import importlib
import inspect
from typing import Any

import torch

from corpus.tags.resampling import POWERS
from engine.build import build, options, plugin
from engine.network import network
from engine.recipe import Recipe
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
    tuned, tested = (params[stage]["target"] for stage in ("finetune", "evaluate"))
    if tuned != tested:
        raise ValueError(
            f"finetune.target is {tuned!r}, evaluate.target {tested!r}: networks are tested on the classes that they "
            "were fine-tuned on, so name the same labelled set in both"
        )
    reference = params["search"]["reference"]
    build("spaces", params["search"]["space"], where="search.space")
    with torch.device("meta"):
        build("backbones", reference, where="search.reference")
    for stage in ("search", "pretrain", "finetune"):
        training(stage, params[stage], reference)


def training(stage: str, section: dict[str, Any], reference: dict[str, Any]) -> None:
    """Check what the sections of the stages that train have in common."""
    with torch.device("meta"):
        network(reference, section["objective"], section["head"], 2, where=stage)
    for init in section.get("inits", []):
        if init not in section["rates"]:
            raise ValueError(f"{stage}.rates has no entry for {init!r}: add one, {{}} to take the recipe as it is")
    for rates in section.get("rates", {"": {}}).values():
        Recipe(**options(Recipe, section["recipe"] | rates, f"{stage}.recipe"))
    rule = section.get("resampling", {"rule": "natural"})["rule"]
    if rule not in POWERS:
        raise ValueError(f"{stage}.resampling.rule: unknown {rule!r}; choose one of {', '.join(POWERS)}")
