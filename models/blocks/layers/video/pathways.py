"""Two pathways through a network: slow frames of many channels, fast frames of few.

Feichtenhofer, Fan, Malik, He 2019, "SlowFast Networks for Video Recognition", arXiv 1812.03982,
section 3.
"""

import torch
from torch import Tensor, nn

from models.blocks.layers.video.resnet3d import convolution3d

__all__ = ["Paths", "lateral", "narrowed", "slowed"]


class Paths(nn.Module):
    """A layer of either pathway, side by side: (slow, fast) maps -> (slow, fast) maps.

    lateral: of the fast map, what the slow layer sees behind its own channels; None: nothing.
    """

    def __init__(self, slow: nn.Module, fast: nn.Module, lateral: nn.Module | None = None) -> None:
        super().__init__()
        self.lateral, self.slow, self.fast = lateral, slow, fast

    def forward(self, maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        slow, fast = maps
        if self.lateral is not None:
            slow = torch.cat([slow, self.lateral(fast)], 1)
        return self.slow(slow), self.fast(fast)


def lateral(channels: int, ratio: int, kernel: int, alpha: int) -> nn.Sequential:
    """A map of the fast pathway at the slow one's frames, of `ratio` times its channels.

    A convolution over `kernel` frames whose stride is alpha (section 3.3, time-strided).
    """
    layers = convolution3d(channels, ratio * channels, (kernel, 1, 1), (alpha, 1, 1))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def narrowed(width: int, beta: float) -> int:
    """Channels of the fast pathway; ValueError where beta does not give a whole number."""
    found = round(width * beta)
    if found < 1 or abs(found - width * beta) > 1e-6:
        raise ValueError(
            f"beta: {beta:g} of {width} channels is no whole number: give widths that it divides"
        )
    return found


def slowed(clips: Tensor, alpha: int) -> Tensor:
    """Of clips (n, 3, t, h, w) the t / alpha frames that the slow pathway sees.

    Evenly spread from the first to the last, rounded down: the authors' code, and not each
    alpha-th, as section 3.1 has it. ValueError where alpha does not divide t.
    """
    frames = clips.shape[2]
    if frames % alpha:
        raise ValueError(
            f"clips of {frames} frames have no slow pathway of alpha {alpha}: give `frames` that "
            "it divides, or another alpha"
        )
    places = torch.linspace(0, frames - 1, frames // alpha, device=clips.device).long()
    return clips.index_select(2, places)
