"""Weights of PyTorchVideo's networks in ours, by the names of the format."""

from torch import nn

from models.formats import pytorchvideo

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


def copied(ours: nn.Sequential, theirs: nn.Module) -> nn.Module:
    """Our backbone and linear head with their weights, every one of them used once."""
    given, names = theirs.state_dict(), pytorchvideo.names(ours[0])
    assert len(set(names.values())) == len(names)
    ours[0].load_state_dict({key: given.pop(name) for key, name in names.items()})
    head = ours[1].state_dict()
    assert len(head) == len(given) == 2 and all(pytorchvideo.is_head(key) for key in given)
    ours[1].load_state_dict(dict(zip(head, given.values(), strict=True)))
    return ours.eval()
