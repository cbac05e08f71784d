"""Layers that a training leaves as they are: no gradient, and norms that keep their statistics."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import nn

from engine.training.optimizers import NORMS
from models.blocks.ranges import Frozen


def freeze_layers(backbone: nn.Module, freeze: Frozen) -> list[nn.Parameter]:
    """Freeze a part of the backbone, and return its parameters.

    stem: the first of its layers. A number: the stem and so many stages, or, of a network of one
    size from end to end, blocks. Norms in them normalise by the statistics that they have.
    but_norms: all but the scales and shifts of norms, whose statistics are learnt too.

    ValueError for more stages than there are.
    """
    if freeze is None:
        return []
    if freeze == "but_norms":
        norms = {id(p) for layer in _norms(backbone.modules()) for p in layer.parameters()}
        if not norms:
            raise ValueError("freeze: this backbone has no norm that could be trained alone")
        frozen = [p for p in backbone.parameters() if id(p) not in norms]
        return _without_gradient(frozen)
    layers = backbone.layers()[: 1 if freeze == "stem" else _end(backbone, freeze)]
    inside = {id(module) for layer in layers for module in layer.modules()}
    names = [name for name, module in backbone.named_modules() if id(module) in inside]
    # by name, and from the backbone, which stays itself where its parts are made others, as for
    # statistics over several workers
    backbone.train = partial(_train_but, backbone, names)
    return _without_gradient(p for layer in layers for p in layer.parameters())


def _without_gradient(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    found = list(parameters)
    for parameter in found:
        parameter.requires_grad_(False)
    return found


def _norms(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [m for m in modules if isinstance(m, NORMS) or "Norm" in type(m).__name__]


def _train_but(backbone: nn.Module, names: list[str], mode: bool = True) -> nn.Module:
    """`backbone.train(mode)`, but for the norms among these modules."""
    nn.Module.train(backbone, mode)
    for module in _norms(map(backbone.get_submodule, names)):
        nn.Module.train(module, False)
    return backbone


def _end(backbone: nn.Module, count: int) -> int:
    """How many layers the stem and `count` stages are."""
    ends = stage_ends(backbone)
    if count > len(ends):
        raise ValueError(
            f"freeze: {count} stages, and this backbone has {len(ends)}: give at most that, stem "
            "or but_norms"
        )
    return ends[count - 1]


def stage_ends(backbone: nn.Module) -> list[int]:
    """How many layers, from the input on, each stage ends with."""
    stages: Any = getattr(backbone, "stages", None)
    if isinstance(stages, nn.ModuleList):
        # of blocks, behind one stem
        ends, reached = [], 1
        for stage in stages:
            reached += len(stage)
            ends.append(reached)
        return ends
    return list(stages) if stages else list(range(2, len(backbone.layers()) + 1))
