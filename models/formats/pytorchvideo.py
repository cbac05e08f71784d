"""Weights of networks of clips as PyTorchVideo publishes them.

Fan et al. 2021, "PyTorchVideo: A Deep Learning Library for Video Understanding", arXiv 2111.09887:
{"model_state": {"blocks.0.multipathway_blocks.0.conv.weight", ...}} of its hub's SlowFast, Slow,
C2D, I3D, CSN, R(2+1)D and X3D.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.videonaming import pytorchvideo_names

HASHED = False
FILES = {"SlowFast": "SLOWFAST_8x8_R50.pyth", "ResNet3d": "SLOW_8x8_R50.pyth"}
FILES |= {"CSN": "CSN_32x2_R101.pyth", "VideoResNet": "R2PLUS1D_16x4_R50.pyth", "X3D": "X3D_M.pyth"}


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by their names."""
    return dict(tree["model_state"] if isinstance(tree.get("model_state"), Mapping) else tree)


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor.

    ValueError for PySlowFast's X3D, which has a norm that is not in the file.
    """
    found = pytorchvideo_names(backbone)
    if "blocks.1.res_blocks.0.branch1_norm.weight" in found.values() and _is_x3d(backbone):
        raise ValueError(
            "PyTorchVideo's X3D has no norm on the first stage's shortcut, as this one has: give "
            "the backbone `shortcut_norm: false`"
        )
    return found


def _is_x3d(backbone: nn.Module) -> bool:
    return type(backbone).__name__ == "X3D"


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.endswith((".proj.weight", ".proj.bias"))


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    file = FILES.get(type(backbone).__name__, "a checkpoint")
    return f"fetch {file}, or another of the same shape, of PyTorchVideo's model zoo"
