"""Weights of SlowFast, Slow, C2D, I3D and X3D as their authors write them: checkpoints.

Fan, Li, Xiong, Lo, Feichtenhofer 2020, "PySlowFast", https://github.com/facebookresearch/SlowFast:
{"model_state": {"s1.pathway0_stem.conv.weight", "s2.pathway1_res0.branch2.a.weight", ...}, "epoch",
"optimizer_state", "cfg"}.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.videonaming import pyslowfast_names

HASHED = False


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by their names; the training's stay behind."""
    tree = tree["model_state"] if isinstance(tree.get("model_state"), Mapping) else tree
    return {key.removeprefix("module."): value for key, value in tree.items()}


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor.

    ValueError for PyTorchVideo's X3D, which lacks a norm that is in the file.
    """
    found = pyslowfast_names(backbone)
    if "head.conv_5.weight" in found.values() and "stages.0.0.shortcut.1.weight" not in found:
        raise ValueError(
            "PySlowFast's X3D has a norm on the first stage's shortcut, which this one has not: "
            "give the backbone `shortcut_norm: true`"
        )
    return found


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.startswith("head.projection.")


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    if type(backbone).__name__ == "X3D":
        return "fetch x3d_xs.pyth, x3d_s.pyth, x3d_m.pyth or x3d_l.pyth of PySlowFast's model zoo"
    return (
        "fetch a checkpoint of PySlowFast, a .pyth; the .pkl of its model zoo are Caffe2's, which "
        "are not read here: load one there and save it, or take PyTorchVideo's (pytorchvideo)"
    )
