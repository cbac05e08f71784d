"""Maps of a network that gives its classes alone: taken from the modules that they come out of."""

from collections.abc import Callable
from functools import partial
from math import log2
from typing import Any

from torch import Tensor, nn

from models.blocks.layers.borrowed import on_meta

__all__ = ["blocks", "is_behind", "keep", "maps_of"]

# what lies behind the last map
BEHIND = ("avgpool", "classifier", "dropout", "fc", "flatten", "head", "permute")
# containers whose blocks are layers, beside plain nn.Sequential
OPENED = ("AnyStage", "Encoder", "MaxVitBlock")


def is_behind(name: str) -> bool:
    """Whether a module of this name lies behind the last map."""
    return name.startswith(BEHIND)


def blocks(model: nn.Module, above: str = "") -> list[tuple[str, nn.Module]]:
    """Modules from input to output: those inside of containers, with their names."""
    found = []
    for name, module in model.named_children():
        opened = type(module) in (nn.Sequential, nn.ModuleList) or type(module).__name__ in OPENED
        inside = f"{above}{name}"
        found += blocks(module, f"{inside}.") if opened else [(inside, module)]
    return found


def maps_of(
    model: nn.Module, run: Callable[[nn.Module], Any], side: int
) -> list[tuple[str, int, int]]:
    """(module, channels, stride) of the last map of each size.

    run: gives an image of `side` pixels to a copy of the network without values.
    """
    shadow, ran = on_meta(model), []
    for name, module in blocks(shadow):
        if not is_behind(name):
            hook = partial(_noted, ran, name, type(model).__name__)
            module.register_forward_hook(hook)
    run(shadow)
    found = {}
    for name, shape in ran:
        exact = side / shape[2]
        # a convolution without padding gives a little less than a half
        stride = round(exact if exact % 1 == 0 else 2 ** round(log2(exact)))
        found[stride] = (name, shape[1], stride)
    return list(found.values())


def _noted(ran: list, name: str, family: str, module: nn.Module, _: tuple, output: Tensor) -> None:
    ran.append((name, _as_map(module, output, family).shape))


def _as_map(module: nn.Module, output: Tensor, family: str) -> Tensor:
    """(n, c, h, w) of what a module gives: tokens (n, 1 + h w, c), channels last (n, h, w, c)."""
    if output.ndim == 3:
        side = round((output.shape[1] - 1) ** 0.5)
        return output[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    last = family == "SwinTransformer" and not isinstance(module, nn.Conv2d)
    return output.permute(0, 3, 1, 2) if last else output


def keep(family: str, module: nn.Module, _: tuple, output: Tensor) -> None:
    # in the module itself: a copy of the network has hooks and places of its own
    module.__dict__["kept"] = _as_map(module, output, family)
