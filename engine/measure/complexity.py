"""Parameters, multiply-adds and activations of a network, counted without running it.

Figures of different rules are not to be compared, so that each rule has a name: pycls  of the
tables of arXiv 2003.13678, and of most papers: flops are multiply-adds of convolutions and linear
       layers, a bias counted once; acts are the outputs of convolutions, linear layers and
       max-pools.
torch  torch's FlopCounterMode: flops are operations, two per multiply-add, of every convolution,
matrix product and
       attention, also those outside of layers; biases are not counted, nor are acts.
Under both, params are all parameters.
"""

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def measure(module: nn.Module, input_shape: tuple[int, ...], rule: str = "pycls") -> dict[str, int]:
    """{"params", "flops", "acts"}, as far as the rule counts them, for one input.

    input_shape: (3, h, w) for images. No weight is copied.
    """
    if rule not in RULES:
        raise ValueError(f"unknown counting rule {rule!r}: choose {' or '.join(RULES)}")
    # deepcopy takes from the memo what it finds there, so no weight is ever copied
    weights = [*module.parameters(), *module.buffers()]
    shadow = copy.deepcopy(
        module, {id(weight): weight.detach().to("meta") for weight in weights}
    ).eval()
    with torch.no_grad():
        counts = RULES[rule](shadow, torch.empty(1, *input_shape, device="meta"))
    return {"params": sum(p.numel() for p in module.parameters()), **counts}


def _pycls(shadow: nn.Module, inputs: Tensor) -> dict[str, int]:
    total = {"flops": 0, "acts": 0}

    def count(layer: nn.Module, _: tuple[Tensor], output: Tensor) -> None:
        total["acts"] += output.numel()
        if not isinstance(layer, nn.MaxPool2d):
            # once and not for each place, as pycls does: the papers' tables are compared with
            bias = layer.bias.numel() if layer.bias is not None else 0
            total["flops"] += layer.weight[0].numel() * output.numel() + bias

    for layer in shadow.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.MaxPool2d):
            layer.register_forward_hook(count)
    shadow(inputs)
    return total


def _torch(shadow: nn.Module, inputs: Tensor) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter:
        shadow(inputs)
    return {"flops": counter.get_total_flops()}


RULES = {"pycls": _pycls, "torch": _torch}
