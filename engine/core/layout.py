"""Where a network lies, and in which order its weights do: colours last for images.

Weights of convolutions over clips keep planes, and so do clips: with colours last a CPU took 1.01
to 1.5 times as long for a training step of a SlowFast, (2+1)D, X3D, 3-D or depthwise block, and a
forward pass was faster in two of the five (docs/training.md).
"""

import torch
from torch import nn

PLANES = 5  # axes of the weight of a convolution over clips


def placed(module: nn.Module, where: torch.device) -> nn.Module:
    """The module on a device, its weights in the order that is fast for what it reads."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(tensor.ndim != PLANES for tensor in tensors):
        return module.to(where, memory_format=torch.channels_last)
    module.to(where)
    for tensor in tensors:
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module


def laid_out(inputs: torch.Tensor) -> torch.Tensor:
    """Images (n, 3, h, w) with colours last, clips (n, 3, t, h, w) in planes."""
    if inputs.ndim == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs.contiguous()
