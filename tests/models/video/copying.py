"""Weights of PyTorchVideo's networks in ours."""

import torch
from torch import nn

__all__ = ["copied", "randomised"]


def randomised(module: nn.Module) -> nn.Module:
    """Batch norms that do something, lest zero gammas hide a wrong branch; outputs of order one."""
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm3d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.normal_(norm.bias, std=0.1)
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
    for linear in (m for m in module.modules() if isinstance(m, nn.Linear)):
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    return module.eval()


def _parts(name: str) -> tuple:
    """Where a tensor of a ResNet of PyTorchVideo stands in the order of ours."""
    return tuple("res_branch1" not in part for part in name.split("."))


def copied(ours: nn.Module, theirs: nn.Module) -> nn.Module:
    """Ours with their weights, block by block: theirs has the shortcut before the branch."""
    ...
