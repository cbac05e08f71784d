"""Another normalisation in the place of batch norm: of any network, whoever built it."""

from collections.abc import Callable

from torch import nn

__all__ = ["group_norm", "most_groups", "renormalised"]


def renormalised(module: nn.Module, norm: Callable[[int], nn.Module]) -> nn.Module:
    """The network with norm(channels) for each batch norm, scale and shift copied; in place.

    Scale and shift are what a network's start is made of, such as a last scale of zero, which makes
    a residual block start as its shortcut (Wu & He 2018, arXiv 1803.08494, section 4.1).

    ValueError for a batch norm that does more than normalise, as timm's with an activation inside.
    """
    for name, child in module.named_children():
        setattr(module, name, renormalised(child, norm))
    if not isinstance(module, nn.modules.batchnorm._BatchNorm):
        return module
    if type(module) not in (nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm):
        raise ValueError(
            f"{type(module).__name__} is more than a batch norm of maps, and nothing stands for it "
            "here: give the network `norm: null`, or its library's own option"
        )
    made = norm(module.num_features).train(module.training)
    if module.affine:
        made.load_state_dict({"weight": module.weight, "bias": module.bias})
        made.to(module.weight.device, module.weight.dtype)
    return made


def most_groups(channels: int, most: int) -> int:
    """The most groups, no more than `most`, that divide the channels."""
    return next(g for g in range(max(1, min(most, channels)), 0, -1) if channels % g == 0)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of 32 groups (Wu & He 2018), or of fewer that divide the channels, 4 in each.

    Of one channel each and one place, as on the top of a pyramid, nothing would be left.
    """
    return nn.GroupNorm(most_groups(channels, min(32, channels // 4)), channels)
