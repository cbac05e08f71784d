"""How a network is optimised, as plain data: Goyal et al. 2017 (arXiv 1706.02677), sections 2 and 5.

The learning rate is given for 256 images and scales with the minibatch (linear scaling rule, section 2.1). Gradual
warm-up (section 2.2) starts at the reference rate and adds a constant increment every iteration. Weight decay leaves
out the parameters of normalisation layers (section 5.3).
"""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

import torch
from torch import nn

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Recipe:
    """Minibatch, learning-rate rule, SGD settings and precision of one training run.

    `rate` is the learning rate per 256 images; `warmup` is in epochs.

    `schedule`: `cosine` (Radosavovic et al. 2020), `steps` (divided by 10 at 1/3, 2/3 and 8/9: Goyal et al. 2017) or
    `halving` (ten reductions by 1/2 at equally spaced steps: Mahajan et al. 2018, arXiv 1805.00932).
    """

    batch: int = 256
    rate: float = 0.1
    warmup: float = 5.0
    schedule: Literal["cosine", "steps", "halving", "constant"] = "cosine"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    decay_norms: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.rate <= 0 or self.warmup < 0:
            raise ValueError(f"recipe: batch >= 1, rate > 0 and warmup >= 0 are needed, not {self}")


def scheduled(schedule: str, progress: float) -> float:
    """Factor on the scaled learning rate after the share `progress` (0 to 1) of all iterations."""
    if schedule == "cosine":
        return 0.5 * (1 + cos(pi * progress))
    if schedule == "steps":
        return 0.1 ** sum(progress >= milestone for milestone in (30 / 90, 60 / 90, 80 / 90))
    return 0.5 ** int(progress * 11) if schedule == "halving" else 1.0


def learning_rate(recipe: Recipe, iteration: int, iterations: int, per_epoch: int) -> float:
    """Learning rate of one iteration: linear scaling, gradual warm-up, then the schedule over all iterations."""
    target = recipe.rate * recipe.batch / 256
    warmup = round(recipe.warmup * per_epoch)
    if iteration < warmup:
        start = min(recipe.rate, target)
        return start + (target - start) * iteration / warmup
    return target * scheduled(recipe.schedule, iteration / iterations)


def optimizer(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """SGD over the trainable parameters; those of normalisation layers do not decay unless the recipe says so."""
    norms = {id(p) for m in module.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
    trained = [p for p in module.parameters() if p.requires_grad]
    plain = [p for p in trained if recipe.decay_norms or id(p) not in norms]
    exempt = [p for p in trained if not recipe.decay_norms and id(p) in norms]
    groups = [{"params": plain, "weight_decay": recipe.weight_decay}, {"params": exempt, "weight_decay": 0.0}]
    momentum = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    return torch.optim.SGD([g for g in groups if g["params"]], lr=recipe.rate, fused=True, **momentum)
