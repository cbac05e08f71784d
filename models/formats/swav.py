"""Weights of SwAV as its authors write them: {"module.conv1.weight", ...} in torchvision's names.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin 2020, "Unsupervised Learning of Visual Features by
Contrasting Cluster Assignments", arXiv 2006.09882. The projection and the prototypes stay behind.
The files' licence is not commercial (CC-BY-NC 4.0); they are not part of this project.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import torchvision_names

HASHED = False


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by their names in torchvision."""
    tree = tree["state_dict"] if isinstance(tree.get("state_dict"), Mapping) else tree
    return {key.removeprefix("module."): value for key, value in tree.items()}


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor."""
    return torchvision_names(backbone)


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.startswith(("projection_head.", "prototypes.", "fc."))


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    return "fetch a checkpoint of its authors, such as swav_800ep_pretrain.pth.tar for ResNet-50"
