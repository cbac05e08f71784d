"""Parameters, multiply-adds and activations of a network, counted without running it.

Figures of different rules are not to be compared, so that each rule has a name: pycls  of the
tables of arXiv 2003.13678 and 2106.14881, and of most papers: flops are multiply-adds of
       convolutions, linear layers and matrix products, those of attention among them, and a
       layer's bias once for each place; acts are the outputs of these and of max-pools.
torch  torch's FlopCounterMode: flops are operations, two per multiply-add, of every convolution,
matrix product and
       attention, also those outside of layers; biases are not counted, nor are acts.
Under both, params are all parameters. Transforms of Fourier count under neither.

Of a network whose head finds objects they depend on what it sees, so that one is run: counts are
means over images that are given, or those of one image of noise.
"""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from engine.measure.finding import noise, scene_head

aten = torch.ops.aten


def measure(
    module: nn.Module,
    input_shape: tuple[int, ...],
    rule: str = "pycls",
    images: Tensor | None = None,
) -> dict[str, int]:
    """{"params", "flops", "acts"}, as far as the rule counts them, for one input.

    input_shape: (3, h, w) for images, (3, t, h, w) for clips. No weight is copied. images: float32
    (n, *input_shape) that a network whose head finds objects is run on.
    """
    shadow, inputs = _ready(module, input_shape, images)
    counter = counting(rule, shadow)
    with torch.no_grad(), counter:
        for one in inputs.split(1):
            shadow(one)
    counted = {key: round(count / len(inputs)) for key, count in counter.counted().items()}
    return {"params": sum(p.numel() for p in module.parameters()), **counted}


def _ready(
    module: nn.Module, shape: Sequence[int], images: Tensor | None = None
) -> tuple[nn.Module, Tensor]:
    """A copy to be counted, and the inputs that it is run on: of no values where it needs none."""
    if not scene_head(module):
        return shadow_of(module), torch.empty(1, *shape, device="meta")
    where = next(module.parameters()).device
    inputs = noise(1, shape, where) if images is None else images.to(where)
    return shadow_of(module, keep=True), inputs


def by_shape(
    backbone: nn.Module, head: nn.Module, input_shape: tuple[int, ...], rule: str = "pycls"
) -> list[dict[str, Any]]:
    """`measure` of a backbone and a head, split where the outputs of layers() change their shape.

    A row has the shape without the batch, of pathways that of the first, how many `layers` it is
    of, and their figures; the last one, of no shape, is what is computed outside of layers(): the
    head. The rows sum to `measure`.
    """
    shadow, inputs = _ready(nn.Sequential(backbone, head), input_shape)
    counter = counting(rule, shadow)
    rows: list[dict[str, Any]] = []
    for layer in shadow[0].layers():
        # counted from the end of the layer before, for what lies between belongs to what follows
        layer.register_forward_hook(
            lambda layer, _, output: rows.append(_row(layer, output, counter.counted()))
        )
    with torch.no_grad(), counter:
        shadow(inputs)
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


def shadow_of(module: nn.Module, keep: bool = False) -> nn.Module:
    """The module on meta, ready to be run; keep: with its own weights, where they lie."""
    # deepcopy takes from the memo what it finds there, so no weight is ever copied
    weights = [*module.parameters(), *module.buffers()]
    memo = {id(one): one.detach() if keep else one.detach().to("meta") for one in weights}
    return copy.deepcopy(module, memo).eval()


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
