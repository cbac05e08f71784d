"""The optimizer of a recipe: which one, and which parameters decay and learn how fast."""

from collections import defaultdict
from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from engine.build import options
from engine.training.recipe import Recipe

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
FROM = {"sgd": "torch.optim.SGD", "adamw": "torch.optim.AdamW", "lars": "timm.optim.Lars", "lamb": "timm.optim.Lamb"}


def _class(name: str) -> Callable:
    if name not in FROM:
        raise ValueError(f"recipe.optimizer: unknown name {name!r} (names: {', '.join(FROM)})")
    module, _, attribute = FROM[name].rpartition(".")
    return getattr(import_module(module), attribute)


def depths(objective: nn.Module) -> dict[int, int]:
    """id of each parameter of the backbone: how many layers lie above it, 1 for the last; all others are at 0."""
    layers = objective.backbone.layers() if hasattr(objective, "backbone") else []
    return {id(p): len(layers) - i for i, layer in enumerate(layers) for p in layer.parameters()}


def undecayed(recipe: Recipe, module: nn.Module) -> set[int]:
    """ids of the parameters that the recipe frees of weight decay."""
    found: set[int] = set()
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            norm = "norms" in recipe.undecayed and isinstance(layer, NORMS)
            if norm or ("biases" in recipe.undecayed and name.endswith("bias") and not isinstance(layer, NORMS)):
                found.add(id(parameter))
    return found


def optimizer(recipe: Recipe, objective: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over the trainable parameters; a group's rate is the step's times its `scale`."""
    make = _class(recipe.optimizer.get("name", "missing"))
    given = ("params", "lr", "weight_decay", "foreach", "fused")
    settings = {key: value for key, value in recipe.optimizer.items() if key != "name"}
    settings = options(make, settings, "recipe.optimizer", given)
    if recipe.optimizer["name"] == "lamb":
        settings.setdefault("max_grad_norm", None)  # recipe.clip clips
    trained = [p for p in objective.parameters() if p.requires_grad]
    if make.__module__.startswith("torch.") and not recipe.sharded:
        settings["fused"] = True
    above, free = depths(objective) if recipe.layer_decay != 1 else {}, undecayed(recipe, objective)
    groups: dict[tuple[int, float], list[nn.Parameter]] = defaultdict(list)
    for parameter in trained:
        decay = 0.0 if id(parameter) in free else recipe.weight_decay
        groups[above.get(id(parameter), 0), decay].append(parameter)
    made = [
        {"params": parameters, "weight_decay": decay, "scale": recipe.layer_decay**depth}
        for (depth, decay), parameters in groups.items()
    ]
    return make(made, lr=recipe.rate, **settings)
