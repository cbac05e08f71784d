"""Parameters, multiply-adds and activations of a network, counted without running it.

Figures of different rules are not to be compared, so that each rule has a name: pycls  of the
tables of arXiv 2003.13678 and 2106.14881, and of most papers: flops are multiply-adds of
       convolutions, linear layers and matrix products, those of attention among them, and a
       layer's bias once for each place; acts are the outputs of these and of max-pools.
torch  torch's FlopCounterMode: flops are operations, two per multiply-add, of every convolution,
matrix product and
       attention, also those outside of layers; biases are not counted, nor are acts.
Under both, params are all parameters. Transforms of Fourier count under neither.
"""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten


def measure(module: nn.Module, input_shape: tuple[int, ...], rule: str = "pycls") -> dict[str, int]:
    """{"params", "flops", "acts"}, as far as the rule counts them, for one input.

    input_shape: (3, h, w) for images, (3, t, h, w) for clips. No weight is copied.
    """
    shadow = shadow_of(module)
    counter = counting(rule, shadow)
    with torch.no_grad(), counter:
        shadow(torch.empty(1, *input_shape, device="meta"))
    return {"params": sum(p.numel() for p in module.parameters()), **counter.counted()}


def by_shape(
    backbone: nn.Module, head: nn.Module, input_shape: tuple[int, ...], rule: str = "pycls"
) -> list[dict[str, Any]]:
    """`measure` of a backbone and a head, split where the outputs of layers() change their shape.

    A row has the shape without the batch, of pathways that of the first, how many `layers` it is
    of, and their figures; the last one, of no shape, is what is computed outside of layers(): the
    head. The rows sum to `measure`.
    """
    shadow = shadow_of(nn.Sequential(backbone, head))
    counter = counting(rule, shadow)
    rows: list[dict[str, Any]] = []
    for layer in shadow[0].layers():
        # counted from the end of the layer before, for what lies between belongs to what follows
        layer.register_forward_hook(
            lambda layer, _, output: rows.append(_row(layer, output, counter.counted()))
        )
    with torch.no_grad(), counter:
        shadow(torch.empty(1, *input_shape, device="meta"))
    whole = {"params": sum(p.numel() for p in shadow.parameters()), **counter.counted()}
    before = dict.fromkeys(counter.counted(), 0)
    for row in rows:
        reached = {key: row[key] for key in before}
        row |= {key: reached[key] - before[key] for key in before}
        before = reached
    found = [_joined(list(run)) for _, run in groupby(rows, key=lambda row: row["shape"])]
    inside = summed(found)
    rest = {key: whole[key] - inside[key] for key in whole}
    return [*found, {"shape": (), "layers": 1, **rest}]


def _row(layer: nn.Module, output: Any, counted: Mapping[str, int]) -> dict[str, Any]:
    params = sum(p.numel() for p in layer.parameters())
    # of pathways side by side the first tells where a layer is
    first = output if isinstance(output, Tensor) else output[0]
    return {"shape": tuple(first.shape[1:]), "layers": 1, "params": params, **counted}


def _joined(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one shape as one."""
    return {"shape": rows[0]["shape"], **summed(rows)}


def summed(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Figures of rows together, shapes aside."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update({key: value for key, value in row.items() if key != "shape"})
    return dict(total)


def shadow_of(module: nn.Module) -> nn.Module:
    """The module on meta, ready to be run."""
    # deepcopy takes from the memo what it finds there, so no weight is ever copied
    weights = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(
        module, {id(weight): weight.detach().to("meta") for weight in weights}
    ).eval()


class Pycls(TorchDispatchMode):
    """Counts what a module computes inside of it by the rule pycls."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.total, self.inside = {"flops": 0, "acts": 0}, False
        # by themselves, for a linear layer may come down to a product and a sum that hides its bias
        for layer in (layer for layer in module.modules() if isinstance(layer, nn.Linear)):
            layer.register_forward_pre_hook(self._enter)
            layer.register_forward_hook(self._leave)

    def counted(self) -> dict[str, int]:
        return dict(self.total)

    def _enter(self, *_: Any) -> None:
        self.inside = True

    def _leave(self, layer: nn.Linear, _: Any, output: Tensor) -> None:
        self.inside = False
        self._add(output, output.numel() * (layer.in_features + (layer.bias is not None)))

    def _add(self, output: Tensor, flops: int) -> None:
        self.total["acts"] += output.numel()
        self.total["flops"] += flops

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        cost = COSTS.get(func.overloadpacket)
        if cost and not self.inside:
            first = output[0] if isinstance(output, tuple) else output
            self._add(first, cost(first, *args))
        return output


def _convolution(output: Tensor, inputs: Tensor, weight: Tensor, bias: Any, *settings: Any) -> int:
    transposed = settings[3]
    places = inputs if transposed else output
    return weight[0].numel() * places.numel() + output.numel() * (bias is not None)


def _product(output: Tensor, left: Tensor, right: Tensor) -> int:
    return output.numel() * left.shape[-1]


def _sum_and_product(output: Tensor, bias: Tensor, left: Tensor, right: Tensor) -> int:
    return output.numel() * (left.shape[-1] + 1)


# what layers, and functions outside of layers, come down to
COSTS: dict[Any, Callable[..., int]] = {
    aten.convolution: _convolution,
    aten.mm: _product,
    aten.bmm: _product,
    aten.addmm: _sum_and_product,
    aten.baddbmm: _sum_and_product,
    aten.max_pool2d_with_indices: lambda *_: 0,
    aten.max_pool3d_with_indices: lambda *_: 0,
}


class Torch(FlopCounterMode):
    """Counts what a module computes inside of it by the rule torch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(display=False)

    def counted(self) -> dict[str, int]:
        return {"flops": self.get_total_flops()}


RULES: dict[str, Callable[[nn.Module], Pycls | Torch]] = {"pycls": Pycls, "torch": Torch}


def counting(rule: str, shadow: nn.Module) -> Pycls | Torch:
    """What counts by a rule as long as it is entered; ValueError for no rule."""
    if rule not in RULES:
        raise ValueError(f"unknown counting rule {rule!r}: choose {' or '.join(RULES)}")
    return RULES[rule](shadow)
