"""Weights of R(2+1)D and CSN pretrained on 65 million public videos (IG-65M) or Sports-1M.

Ghadiyaram, Tran, Mahajan 2019, arXiv 1905.00561, and Tran et al. 2019, arXiv 1904.02811, in the
names of torchvision's VideoResNet: {"stem.0.weight", "layer1.0.conv1.0.0.weight", ...}, as
facebookresearch/VMZ and moabitcoin/ig65m-pytorch publish them. Unlike in torchvision both
convolutions of a block have channels between by their own widths, and norms an eps of 0.001.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import named_by
from models.blocks.videonaming import videoresnet_name

HASHED = True  # some file names end in the first digits of the files' SHA-256
EPS = 1e-3
R34 = "r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae.pth (487 classes), "
R34 += "r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth (359), "
R34 += "r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth or "
R34 += "r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth of moabitcoin/ig65m-pytorch"
R152 = "r2plus1d_152_ig65m_from_scratch_f106380637.pth or "
R152 += "r2plus1d_152_ft_kinetics_from_ig65m_f107107466.pth of bjuncek/VMZ"
IR = "irCSN_152_ig65m_from_scratch_f125286141.pth or "
IR += "irCSN_152_ft_kinetics_from_ig65m_f126851907.pth of bjuncek/VMZ"
IP = "ipCSN_152_ig65m_from_scratch_f130601052.pth or "
IP += "ipCSN_152_ft_kinetics_from_ig65m_f133090949.pth of bjuncek/VMZ"


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by their names, those of a whole training too."""
    for wrap in ("model", "state_dict"):
        tree = tree[wrap] if isinstance(tree.get(wrap), Mapping) else tree
    return {key.removeprefix("module."): value for key, value in tree.items()}


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor.

    ValueError for another eps, with which the same weights compute something else.
    """
    found = named_by(backbone, dict.fromkeys(("VideoResNet", "CSN"), videoresnet_name), "VMZ")
    wrong = [m.eps for m in backbone.modules() if isinstance(m, nn.BatchNorm3d) and m.eps != EPS]
    if wrong:
        raise ValueError(
            f"the norms of VMZ's networks add {EPS} to the variance, and this one's {wrong[0]}: "
            f"give the backbone `eps: {EPS}` (its authors train with `momentum: 0.9`)"
        )
    return found


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key in ("fc.weight", "fc.bias")


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    deep = sum(len(stage) for stage in getattr(backbone, "stages", [])) == 50
    if type(backbone).__name__ == "CSN":
        mixes = any(key.endswith("transform.1.0.2.weight") for key in backbone.state_dict())
        return f"fetch {IP if mixes else IR}"
    return f"fetch {R152 if deep else R34}"
