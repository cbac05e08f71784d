"""Recursive gated convolution in the place of a 3x3: interactions of n-th order.

Rao, Zhao, Tang, Zhou, Lim, Lu 2022, "HorNet: Efficient High-Order Spatial Interactions with
Recursive Gated Convolutions", arXiv 2207.14284, sections 3.1 and 3.2.
"""

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from models.blocks.expected import slot_row
from models.blocks.layers.gnconv import RecursiveGatedConv
from models.blocks.ranges import Positive

__all__ = ["GnConv", "expected"]

Order = Annotated[int, Field(ge=2, le=5)]
Kind = Literal["depthwise", "global"]


class GnConv(RecursiveGatedConv):
    """(n, channels, h, w) -> (n, channels, h / stride, w / stride), averaged by two at stride 2.

    Starts with the variance of its input, for it has no shortcut around it here. ValueError where
    the channels change, or cannot be halved.

    order: of the interactions, the paper's n; the channels are halved once less.
    kind: of the spatial mixing, `depthwise` 7x7 or a `global` filter of half of the channels.
    scale: the paper's 1 / alpha of each gate.
    """

    place: ClassVar[str] = "spatial"
    identity_at_init: ClassVar[bool] = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        size: tuple[int, int] | None = None,
        order: Order = 3,
        kind: Kind = "depthwise",
        scale: Positive = 1.0,
    ) -> None:
        if inputs != outputs:
            raise ValueError(f"gnconv keeps its channels, and cannot make {outputs} of {inputs}")
        if kind == "global" and size is None:
            raise ValueError(
                "gnconv: a global filter is as large as a map: give the backbone `resolution`, the "
                "pixels of the images"
            )
        if kind == "global" and outputs % self.divisor(order, kind):
            raise ValueError(
                f"gnconv: a global filter of order {order} halves its channels {order} times: "
                f"{outputs} cannot be"
            )
        super().__init__(outputs, order, scale, size if kind == "global" else None)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        for conv in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            nn.init.normal_(conv.weight, std=conv.weight[0].numel() ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(super().forward(x))

    @staticmethod
    def divisor(order: Order = 3, kind: Kind = "depthwise", **options: Any) -> int:
        """What the channels have to be a multiple of."""
        return 2**order if kind == "global" else 2 ** (order - 1)

    @staticmethod
    def cost(
        inputs: np.ndarray,
        outputs: np.ndarray,
        stride: int,
        size: tuple[np.ndarray, np.ndarray],
        order: Order = 3,
        kind: Kind = "depthwise",
        scale: Positive = 1.0,
    ) -> dict[str, np.ndarray]:
        """{"params", "flops", "acts"} by the rule pycls, which counts no Fourier transform."""
        (h, w), n = size, size[0] * size[1]
        widths = [outputs // 2**step for step in reversed(range(order))]
        mixed, wider = sum(widths), sum(widths[1:])
        steps = sum(narrow * wide for narrow, wide in pairwise(widths))
        weights, filtered = 2 * inputs * outputs + outputs**2 + steps, mixed
        biases = 3 * outputs + wider
        if kind == "depthwise":
            weights, biases, more = weights + 49 * mixed, biases + mixed, 0
        else:
            filtered = mixed // 2
            weights, more = weights + 9 * filtered, 2 * filtered * h * (w // 2 + 1) + 4 * mixed
        return {
            "params": weights + biases + more,
            "flops": (weights + biases) * n,
            "acts": (3 * outputs + wider + filtered) * n,
        }


expected = [
    slot_row(64, 19_392, order=2),
    slot_row(64, 20_736, order=3),
    slot_row(64, 21_280, order=4),
    slot_row(64, 21_520, order=5),
    # 48 of 96 channels by frequencies of a 14 x 14 map, 48 by a 3x3, and two norms of 96
    slot_row(64, 26_160, order=2, kind="global") | {"size": (14, 14)},
]
