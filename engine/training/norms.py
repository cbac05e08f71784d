"""Batch norms that a training leaves as they are, as detectors have those of a pretrained backbone.

He, Girshick, Dollar 2018, "Rethinking ImageNet Pre-training", arXiv 1811.08883, section 3.1: of the
few images that fit in memory statistics would be poor, and those of the pretraining serve.
"""

from functools import partial

from torch import nn

from engine.core.torch_private import BatchNorm


def freeze_batch_norms(module: nn.Module) -> None:
    """All its batch norms normalise by the statistics that they have, and learn nothing.

    In place, and whichever mode the module is in later. Their names and values are those of before.
    """
    for layer in module.modules():
        # others have no statistics but those of each batch
        if isinstance(layer, BatchNorm) and layer.track_running_stats:
            layer.requires_grad_(False)
            layer.train = partial(_tested, layer)
            layer.train()


def _tested(layer: nn.Module, mode: bool = True) -> nn.Module:
    """`layer.train(mode)` for one that is always as in a test."""
    return nn.Module.train(layer, False)
