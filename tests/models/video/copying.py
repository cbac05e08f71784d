"""Weights of PyTorchVideo's networks in ours, by the names of the format."""

from torch import nn

from models.formats import pytorchvideo

__all__ = ["copied"]


def copied(ours: nn.Sequential, theirs: nn.Module) -> nn.Module:
    """Our backbone and linear head with their weights, every one of them used once."""
    given, names = theirs.state_dict(), pytorchvideo.names(ours[0])
    assert len(set(names.values())) == len(names)
    ours[0].load_state_dict({key: given.pop(name) for key, name in names.items()})
    head = ours[1].state_dict()
    assert len(head) == len(given) == 2 and all(pytorchvideo.is_head(key) for key in given)
    ours[1].load_state_dict(dict(zip(head, given.values(), strict=True)))
    return ours.eval()
