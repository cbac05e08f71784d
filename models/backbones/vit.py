"""Vision transformers of two stems: ViT_P, which cuts the image into patches, and ViT_C.

Xiao, Singh, Mintun, Darrell, Dollár, Girshick 2021, "Early Convolutions Help Transformers See
Better", arXiv 2106.14881, section 4 and appendix A. ViT_P is that of Dosovitskiy et al. 2021,
"An Image is Worth 16x16 Words", arXiv 2010.11929; the stem of ViT_C is convolutions, about as
costly as one block, which it has fewer.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isqrt, prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.expected import network_row
from models.blocks.layers.convolution import convolution
from models.blocks.layers.patches import WHOLE, pad_to
from models.blocks.layers.transformer import EncoderBlock
from models.blocks.ranges import Count, Depth, Pixels, Stride, Width

__all__ = ["ViT", "expected"]


def patch_stem(width: int, size: int) -> nn.Sequential:
    """Squares of `size` pixels, each a linear map of its own pixels."""
    conv = nn.Conv2d(3, width, size, size)
    nn.init.trunc_normal_(conv.weight, std=(3 * size**2) ** -0.5)
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv)


def conv_stem(width: int, widths: Sequence[int], strides: Sequence[int]) -> nn.Sequential:
    """3x3 with batch norm and ReLU, then a 1x1 to the width of the tokens."""
    layers: list[nn.Module] = []
    for (inputs, outputs), stride in zip(pairwise([3, *widths]), strides, strict=True):
        layers += [*convolution(inputs, outputs, 3, stride), nn.ReLU(inplace=True)]
    last = nn.Conv2d(widths[-1], width, 1)
    nn.init.normal_(last.weight, std=width**-0.5)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


class Embedding(nn.Module):
    """images (n, 3, h, w) -> tokens (n, 1 + places, width): a class token, where there is one,
    then the stem's places row by row, with their positions.

    places: of a side, at the resolution that the positions are made for; others interpolate.
    """

    def __init__(
        self, stem: nn.Module, width: int, patch_size: int, places: int, token: bool
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if token else None
        self.positions = nn.Parameter(torch.empty(1, token + places**2, width))
        nn.init.normal_(self.positions, std=0.02)
        self.stem = stem

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(pad_to(images, self.patch_size))
        positions = self.positions_of(*x.shape[2:]).to(x.dtype)
        x = x.flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.to(x.dtype).expand(x.shape[0], -1, -1), x], 1)
        return x + positions

    def positions_of(self, h: int, w: int) -> Tensor:
        """Those of a map of h x w places (1, length, width), interpolated where it is another."""
        first = int(self.class_token is not None)
        side = isqrt(self.positions.shape[1] - first)
        if (h, w) == (side, side):
            return self.positions
        whole, grid = self.positions.split([first, side**2], 1)
        grid = grid.view(1, side, side, -1).permute(0, 3, 1, 2).float()
        # as timm and torchvision's reference fine-tuning have it: cubic, and smoothed when fewer
        grid = F.interpolate(grid, (h, w), mode="bicubic", antialias=True)
        return torch.cat([whole, grid.flatten(2).transpose(1, 2).to(whole.dtype)], 1)


class ViT(nn.Module):
    """images (n, 3, h, w) -> the last map of patches, and of classifier `token` one place more.

    The place more, (n, width, 1, 1), is the class token: what a head that pools the last map
    classifies by. ViT_P of 18 GF, which is ViT-B/16, by default.

    stem: `patch` or `convolution`.
    width: channels of a token.
    depth: blocks.
    heads: of each block's attention; they divide the width.
    hidden: channels within each block's MLP.
    patch_size: pixels of a patch's side, and the product of stem_strides.
    classifier: `token` reads a class token, `mean` the mean of all patches.
    stem_widths: channels of each 3x3 of a stem of convolutions.
    stem_strides: of each of these.
    resolution: side in pixels of the images that positions are made for; others interpolate.
    """

    def __init__(
        self,
        stem: Literal["patch", "convolution"] = "patch",
        width: Width = 768,
        depth: Depth = 12,
        heads: Count = 12,
        hidden: Width = 3072,
        patch_size: Pixels = 16,
        classifier: Literal["token", "mean"] = "token",
        stem_widths: Sequence[Width] = (64, 128, 128, 256, 256, 512),
        stem_strides: Sequence[Stride] = (2, 2, 1, 2, 1, 2),
        resolution: Pixels = 224,
    ) -> None:
        super().__init__()
        if stem == "convolution":
            if len(stem_widths) != len(stem_strides) or prod(stem_strides) != patch_size:
                raise ValueError(
                    f"stem_widths {list(stem_widths)}, stem_strides {list(stem_strides)}: give as "
                    f"many of one as of the other, and strides whose product is patch_size "
                    f"{patch_size}"
                )
            layers = conv_stem(width, stem_widths, stem_strides)
        else:
            layers = patch_stem(width, patch_size)
        places, self.token = -(-resolution // patch_size), classifier == "token"
        self.embedding = Embedding(layers, width, patch_size, places, self.token)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.patch_size, maps = patch_size, 1 + self.token
        self.channels, self.strides = [width] * maps, [patch_size, WHOLE][:maps]

    def layers(self) -> list[nn.Module]:
        """The embedding, every block and the last norm, from input to output."""
        return [self.embedding, *self.blocks, self.norm]

    def forward(self, images: Tensor) -> list[Tensor]:
        h, w = (-(-side // self.patch_size) for side in images.shape[2:])
        x = self.embedding(images)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).transpose(1, 2)
        first = int(self.token)
        whole, grid = x[..., :first], x[..., first:]
        maps = [grid.unflatten(2, (h, w)), whole.unsqueeze(3)][: len(self.channels)]
        return [each.contiguous(memory_format=torch.channels_last) for each in maps]


def _row(options: dict, params: int, flops: int, acts: int) -> dict:
    """One network, by the authors' code (pycls)."""
    return network_row(options, params, flops=flops, acts=acts)


def _narrow(width: int) -> dict:
    """Tokens of ViT of 1 and 4 GF."""
    return {"width": width, "heads": width // 64, "hidden": 3 * width}


def _halving(width: int) -> dict:
    """The stem of ViT_C of 1 and 4 GF."""
    widths = [width // 8, width // 4, width // 2, width]
    return {"stem": "convolution", "stem_widths": widths, "stem_strides": [2] * 4}


_1GF, _4GF = _narrow(192), _narrow(384)
_36GF = {"width": 1024, "heads": 16, "hidden": 4096}
_CONV = {"stem": "convolution"}

expected = [  # ViT_P of 1, 4, 18 and 36 GF, then ViT_C of the same, with a block less each
    _row(_1GF, 4_830_376, 1_083_059_944, 5_520_748),
    _row(_4GF, 18_507_112, 3_909_048_808, 11_040_496),
    _row({}, 86_567_656, 17_580_319_720, 23_895_544),
    _row(_36GF | {"depth": 14}, 178_364_392, 35_997_187_048, 37_136_840),
    _row(_1GF | _halving(192) | {"depth": 11}, 4_567_936, 1_079_227_240, 5_628_385),
    _row(_4GF | _halving(384) | {"depth": 11}, 17_754_136, 3_965_674_216, 11_255_770),
    _row(_CONV | {"depth": 11}, 81_573_160, 17_726_621_416, 24_024_268),
    _row(_36GF | _CONV | {"depth": 13}, 167_796_008, 35_025_829_864, 36_606_008),
]
