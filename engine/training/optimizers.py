"""The optimizer of a recipe: which one, and which parameters decay and learn how fast."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from engine.core.build import located, options
from engine.core.torch_private import BatchOrInstanceNorm
from engine.training.recipe import Recipe
from models.blocks.ranges import Positive, Share

NORMS = (BatchOrInstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
FROM = {
    "sgd": "torch.optim.SGD",
    "adamw": "torch.optim.AdamW",
    "lars": "timm.optim.Lars",
    "lamb": "timm.optim.Lamb",
}

# what the recipe's own keys and the code set
PASSED = ("params", "lr", "weight_decay", "foreach", "fused")
Kept = Annotated[float, Field(ge=0, lt=1)]  # of the average, at each step
RANGES = {  # the libraries have none, or types that tell nothing
    "momentum": Kept,
    "dampening": Share,
    "betas": tuple[Kept, Kept],
    "eps": Positive,
    "trust_coeff": Positive,
    "max_grad_norm": Positive | None,
    "nesterov": bool,
    "trust_clip": bool,
    "always_adapt": bool,
}


def _class(name: Any, where: str) -> Callable:
    if name not in FROM:
        raise ValueError(f"{where}: unknown name {name!r} (names: {', '.join(FROM)})")
    # imported when it is asked for: most trainings need nothing of timm
    module, _, attribute = FROM[name].rpartition(".")
    return getattr(import_module(module), attribute)


def depths(objective: nn.Module) -> dict[int, int]:
    """id of each parameter of the backbone: how many layers lie above it, 1 for the last.

    All others are at 0.
    """
    layers = objective.backbone.layers() if hasattr(objective, "backbone") else []
    return {id(p): len(layers) - i for i, layer in enumerate(layers) for p in layer.parameters()}


def undecayed(recipe: Recipe, module: nn.Module) -> set[int]:
    """ids of the parameters that the recipe frees of weight decay."""
    found: set[int] = set()
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            # the bias of a norm goes with the norms, whatever is said of biases
            norm = "norms" in recipe.undecayed and isinstance(layer, NORMS)
            if norm or (
                "biases" in recipe.undecayed
                and name.endswith("bias")
                and not isinstance(layer, NORMS)
            ):
                found.add(id(parameter))
    return found


def called(recipe: Recipe, where: str) -> tuple[Callable, dict[str, Any]]:
    """The class of the recipe's optimizer, and its own settings; `where`: of them, for messages."""
    make = _class(recipe.optimizer.get("name", "missing"), where)
    settings = {key: value for key, value in recipe.optimizer.items() if key != "name"}
    settings = options(make, settings, where, PASSED, RANGES)
    if recipe.optimizer["name"] == "lamb":
        settings.setdefault("max_grad_norm", None)  # recipe.clip clips
    return make, settings


def optimizer(
    recipe: Recipe,
    objective: nn.Module,
    where: str = "recipe",
    parameters: Iterable[nn.Parameter] | None = None,
) -> torch.optim.Optimizer:
    """The recipe's optimizer over what is trained; a group's rate is the step's times its `scale`.

    parameters: those of the objective that it updates; None: all.

    ValueError names the section, `where` for messages, and what is wrong in it.
    """
    make, settings = called(recipe, f"{where}.optimizer")
    given = objective.parameters() if parameters is None else parameters
    trained = [p for p in given if p.requires_grad]
    # one kernel for all parameters; timm's have none, and with sharded weights it is left to torch
    if make.__module__.startswith("torch.") and not recipe.sharded:
        settings["fused"] = True
    above, free = depths(objective) if recipe.layer_decay != 1 else {}, undecayed(recipe, objective)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for parameter in trained:
        scale, decay = recipe.layer_decay ** above.get(id(parameter), 0), recipe.weight_decay
        if id(parameter) in free:
            scale, decay = scale * recipe.undecayed_rate, 0.0
        groups[scale, decay].append(parameter)
    made = [
        {"params": parameters, "weight_decay": decay, "scale": scale}
        for (scale, decay), parameters in groups.items()
    ]
    with located(f"{where}.optimizer"):
        # a rate that no step is taken with: each sets its own
        return make(made, lr=recipe.rate, **settings)
