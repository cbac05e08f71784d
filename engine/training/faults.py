"""Repeat a step whose loss was not finite, from the file that the training left.

python -m engine.training.faults FILE        tells which images and which layer
"""

import sys
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from corpus.names import printable
from engine.core import checkpoint
from engine.core.batch import length
from engine.core.batch import rows as some
from engine.core.network import network

WORST = 5  # images


def repeat(path: Path) -> list[str]:
    """What is not finite in a kept step: weights, inputs, the first layer's outputs, images.

    One line for each.
    """
    tensors, about = checkpoint.load_tensors(path)
    names = about["names"]
    module = network(**about["sections"], classes=len(names), names=names)
    checkpoint.load_weights(module, tensors, "module.")
    lines = [
        f"iteration {about['iteration']}, learning rate {about['learning_rate']:g}, "
        f"loss {about['loss']}"
    ]
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            lines.append(f"not finite: {name}")
    batch = {
        name.removeprefix("batch."): tensor
        for name, tensor in tensors.items()
        if name.startswith("batch.")
    }
    layers = _watched(module)
    losses = {"the batch": _loss(module, batch)}
    if layers:
        lines.append(f"first layer with such an output: {layers[0]}")
    else:
        lines.append("every layer's output is finite")
    for place, image in enumerate(about["images"][: length(batch)]):
        # two images: batch norm needs more than one value
        losses[image] = _loss(module, batch, slice(place, place + 2))
    # those that are not finite first, as False sorts before True
    worst = sorted(losses, key=lambda name: (isfinite(losses[name]), -losses[name]))
    for name in worst[:WORST]:
        lines.append(f"loss of {printable(name)}: {losses[name]:.4g}")
    return lines


def _watched(module: nn.Module) -> list[str]:
    """Names of layers with an output that is not finite, filled in at each forward pass."""
    found: list[str] = []

    def look(name: str, output: Any) -> None:
        outputs = output if isinstance(output, list | tuple) else [output]
        if any(isinstance(one, Tensor) and not one.isfinite().all() for one in outputs):
            found.append(name)

    for name, layer in module.named_modules():
        layer.register_forward_hook(lambda layer, inputs, output, name=name: look(name, output))
    return found


@torch.no_grad()
def _loss(module: nn.Module, batch: dict[str, Tensor], rows: slice = slice(None)) -> float:
    # in the mode of the step: batch norm normalises with the statistics of these images
    module.train()
    # one after the other, as a step takes them
    phases = [{"phase": name} if name else {} for name in module.phases()]
    return sum(module(some(batch, rows), **phase)["loss"].item() for phase in phases)


if __name__ == "__main__":
    print("\n".join(repeat(Path(sys.argv[1]))))
