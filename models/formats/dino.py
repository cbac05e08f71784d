"""Weights of DINO as its authors write them: a whole training, or its trunk alone.

Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin 2021, "Emerging Properties in
Self-Supervised Vision Transformers", arXiv 2104.14294. {"teacher": {"backbone.blocks.0...",
"head.last_layer.weight_g", ...}}, names of the student with `module.` before; the teacher is the
network. Vision transformers have timm's names, ResNets torchvision's. `weight_g` and `weight_v` of
the head are what newer releases of torch call parametrizations.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import timm_names

HASHED = False


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The teacher's tensors by their names in timm or torchvision."""
    for side in ("teacher", "student"):
        if isinstance(tree.get(side), Mapping):
            tree = tree[side]
            break
    return {key.removeprefix("module.").removeprefix("backbone."): v for key, v in tree.items()}


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor."""
    return timm_names(backbone)


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.startswith(("head.", "fc."))


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    return "fetch a checkpoint of its authors, such as dino_deitsmall16_pretrain.pth for ViT-S/16"
