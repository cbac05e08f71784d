"""Weights of the ResNeXt-101 32x{8,16,32,48}d pretrained on hashtags, as their authors name them.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", arXiv 1805.00932: the
names of torchvision's ResNet, a classifier `fc` of 1000 classes; 626 tensors. The files' licence is
not commercial (CC-BY-NC 4.0); they are not part of this project.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import torchvision_names

HASHED = True  # file names end in the first digits of the files' SHA-256
# channels per group: what the authors call the file
FILES = {8: "ig_resnext101_32x8-c38310e5.pth", 16: "ig_resnext101_32x16-c6f796b0.pth"}
FILES |= {32: "ig_resnext101_32x32-e4b90b00.pth", 48: "ig_resnext101_32x48-3e41cc8a.pth"}


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by their names."""
    return dict(tree)


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor."""
    return torchvision_names(backbone)


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key in ("fc.weight", "fc.bias")


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    return f"fetch {', '.join(FILES.values())} from the authors (licence CC-BY-NC 4.0)"


def twin(backbone: nn.Module, section: Mapping[str, Any]) -> nn.Module:
    """torchvision's network of the same shape; ValueError for another than a ResNeXt."""
    from torchvision.models.resnet import Bottleneck, ResNet

    if section["name"] != "resnext" or set(section) - {
        "name",
        "depths",
        "cardinality",
        "group_width",
    }:
        raise ValueError("wsl is of ResNeXt with the stem and the widths of its authors alone")
    width, groups = section.get("group_width", 4), section.get("cardinality", 32)
    depths = list(section.get("depths", (3, 4, 6, 3)))
    made = ResNet(Bottleneck, depths, groups=groups, width_per_group=width)
    made.fc = nn.Identity()
    return made


def loading(backbone: nn.Module) -> str:
    """How the written file is loaded without this project, in a line of Python."""
    made = "torchvision.models.resnet.ResNet(Bottleneck, DEPTHS, groups=32, width_per_group=WIDTH)"
    return f"{made}.load_state_dict(safetensors.torch.load_file(FILE), strict=False)"
