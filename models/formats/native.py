"""Weights in files of this project: what a pretraining or a fine-tuning has written."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

HASHED = False  # the checksum is inside of the file


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by their names; of a whole network, backbone and head."""
    return dict(tree)


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor."""
    return {key: f"backbone.{key}" for key in backbone.state_dict()}


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.startswith("head.")


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    return "run the pretraining that writes it, or take out/pretrain/<name>/model.safetensors"
