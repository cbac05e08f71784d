"""Parameters, multiply-adds and activations of a network, counted without allocating it or running it.

The rule is pycls's, behind the tables of arXiv 2003.13678: flops are multiply-adds of convolutions and linear layers, a
bias counted once; acts are the outputs of convolutions, linear layers and max-pools; params are all parameters.
"""

import copy
from math import prod

import torch
from torch import Tensor, nn


def measure(module: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """{"params", "flops", "acts"} for one input of `input_shape` without batch: (3, h, w) for images."""
    total = {"params": sum(p.numel() for p in module.parameters()), "flops": 0, "acts": 0}

    def count(layer: nn.Module, _: tuple[Tensor], output: Tensor) -> None:
        total["acts"] += output.numel()
        if not isinstance(layer, nn.MaxPool2d):
            positions = prod(output.shape[2:])
            bias = layer.bias.numel() if layer.bias is not None else 0
            total["flops"] += layer.weight.numel() * positions + bias

    # deepcopy takes from the memo what it finds there, so no weight is ever copied
    weights = [*module.parameters(), *module.buffers()]
    shadow = copy.deepcopy(module, {id(weight): weight.detach().to("meta") for weight in weights}).eval()
    for layer in shadow.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.MaxPool2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty(1, *input_shape, device="meta"))
    return total
