"""A convolution over clips of each channel by itself whose backward pass is fast on CPUs.

oneDNN has a fast forward pass for it, but no backward pass: torch falls back to a general one,
which takes 15 to 30 times as long as the forward pass. Here the gradient of the input is another
forward pass, with the kernel turned round, and that of the weight is one gradient of a convolution
over images per step of the kernel in time, for which oneDNN has a fast one. Where either is strided
both go by images. Outputs and gradients are those of torch to rounding, and
weights fit those of nn.Conv3d.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["DepthwiseConv3d"]

LAST = torch.channels_last_3d
Triple = tuple[int, int, int]


class DepthwiseConv3d(nn.Conv3d):
    """(n, channels, t, h, w) -> (n, channels, t', h', w'), each channel by itself, padded.

    Weights as those of nn.Conv3d(channels, channels, kernel, groups=channels, bias=False). On a CPU
    the output is channels last in memory.

    kernel: odd, of each axis or of all. stride: (time, height, width), or of all.
    """

    def __init__(self, channels: int, kernel: int | Triple = 3, stride: int | Triple = 1) -> None:
        sides = (kernel,) * 3 if isinstance(kernel, int) else kernel
        assert all(side % 2 for side in sides), "an even kernel has no middle"
        padding = tuple(side // 2 for side in sides)
        super().__init__(channels, channels, sides, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not _by_onednn(x, self.weight):
            return super().forward(x)
        # of any other order oneDNN makes this one, and takes longer than this copy
        x = x.contiguous(memory_format=LAST)
        if self.kernel_size[1:] == self.stride[1:] == (1, 1):
            # over time alone: an image of t x (h * w) is the same memory
            settings = (None, (self.stride[0], 1), (self.padding[0], 0), 1, self.groups)
            flat = F.conv2d(x.flatten(3), self.weight.flatten(3), *settings)
            return flat.unflatten(3, x.shape[3:])
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return _Depthwise.apply(x, self.weight, self.stride, self.padding)
        return super().forward(x)


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether this runs at once, on a CPU, in single precision: what this file is about."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return x.device.type == "cpu" and single and not traced


class _Depthwise(torch.autograd.Function):
    """The convolution and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Triple, padding: Triple) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv3d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_input, of_weight, *_ = ctx.needs_input_grad
        grad, found = grad.contiguous(memory_format=LAST), None
        if of_input and max(ctx.stride) == 1:
            turned = weight.flip(2, 3, 4)
            found = F.conv3d(grad, turned, None, 1, ctx.padding, 1, x.shape[1])
        left = of_input and found is None
        if not left and not of_weight:
            return found, None, None, None
        by_images = _by_images(grad, x, weight, ctx.stride, ctx.padding, left)
        return by_images[0] if left else found, by_images[1], None, None


def _by_images(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Triple, padding: Triple, of_input: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of the input, where asked for, and of the weight; a step in time after another."""
    total = torch.zeros_like(x) if of_input else None
    found = torch.zeros_like(weight)
    settings = (None, stride[1:], padding[1:], (1, 1), False, (0, 0), x.shape[1])
    for step in range(weight.shape[2]):
        # times of the output that see a frame of the clip, and not padding, at this step
        offset = step - padding[0]
        first = -(min(offset, 0) // stride[0])
        last = min(grad.shape[2], (x.shape[2] - 1 - offset) // stride[0] + 1)
        if last <= first:
            continue
        begin = first * stride[0] + offset
        frames = slice(begin, begin + (last - first - 1) * stride[0] + 1, stride[0])
        of_images, of_weight, _ = torch.ops.aten.convolution_backward(
            _images(grad[:, :, first:last]),
            _images(x[:, :, frames]),
            weight[:, :, step],
            *settings,
            (of_input, True, False),
        )
        found[:, :, step] = of_weight
        if of_input:
            total[:, :, frames] += of_images.unflatten(0, (len(x), -1)).transpose(1, 2)
    return total, found


def _images(clips: Tensor) -> Tensor:
    """Frames (n * t, c, h, w) of clips (n, c, t, h, w), channels last in memory."""
    # as rows of channels, of which a copy is one of memory; flattened as (n, t, c, h, w) the
    # frames would be transposed to and fro
    rows = clips.permute(0, 2, 3, 4, 1).flatten(0, 1)
    return rows.contiguous().permute(0, 3, 1, 2)
