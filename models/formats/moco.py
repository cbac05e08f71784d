"""Weights of Momentum Contrast as its authors write them: checkpoints of a training.

He, Fan, Wu, Xie, Girshick 2020, "Momentum Contrast for Unsupervised Visual Representation
Learning", arXiv 1911.05722. {"state_dict": {"module.encoder_q.conv1.weight", ...}}: the query
encoder is the network; its `fc` (v2: two layers), the key encoder and the queue stay behind.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import torchvision_names

HASHED = False
QUERY = ("module.encoder_q.", "encoder_q.", "module.base_encoder.", "base_encoder.")


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The query encoder's tensors by their names in torchvision, the others as they are."""
    tree = tree["state_dict"] if isinstance(tree.get("state_dict"), Mapping) else tree
    found = {}
    for key, value in tree.items():
        prefix = next((each for each in QUERY if key.startswith(each)), "")
        found[key.removeprefix(prefix)] = value
    return found


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor."""
    return torchvision_names(backbone)


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head or the training, which stay behind."""
    others = ("encoder_k.", "momentum_encoder.", "queue", "predictor.")
    return key.removeprefix("module.").startswith(("fc.", "head.", *others))


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    return "fetch a checkpoint of its authors, such as moco_v2_800ep_pretrain.pth.tar for ResNet-50"
