"""Weights of a network of images in one of clips: their convolutions get an axis of time.

Carreira & Zisserman 2017, "Quo Vadis, Action Recognition?", arXiv 1705.07750, section 2.4: a filter
repeated over its k frames and divided by k gives of a still clip what it gives of the image, as
long as it sees no padding: within the sum of k // 2 frames of all layers from either end of the
clip, zeros are seen and outputs are others. `centre` puts the filter on the middle frame and zeros
on the others: exact on every frame of any clip, and no frame sees another before it is trained.
Where all kernels have one frame, as in C2D, both are the same.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["Inflation", "inflate", "inflated"]

Inflation = Literal["repeat", "centre"]


def inflated(weight: Tensor, frames: int, rule: Inflation = "repeat") -> Tensor:
    """(outputs, inputs, h, w) -> (outputs, inputs, frames, h, w), whose sum over time it is."""
    assert rule in get_args(Inflation), rule
    if rule == "repeat":
        return (weight / frames).unsqueeze(2).repeat(1, 1, frames, 1, 1)
    found = torch.zeros(*weight.shape[:2], frames, *weight.shape[2:], dtype=weight.dtype)
    found[:, :, frames // 2] = weight
    return found


def inflate(
    expected: Mapping[str, Tensor],
    found: Mapping[str, str],
    tensors: dict[str, Tensor],
    rule: Inflation,
) -> int:
    """Give the weights of a file, in place, the axis of time that the network's have; how many.

    expected: tensors of the network. found: of its keys, the names in the file. Weights of another
    size in height, width or channels stay as they are, for the caller to refuse.
    """
    count = 0
    for key, name in found.items():
        own, given = expected[key].shape, tensors.get(name)
        if given is None or len(own) != 5 or given.shape != (*own[:2], *own[3:]):
            continue
        tensors[name] = inflated(given, own[2], rule)
        count += 1
    return count
