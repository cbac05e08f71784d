"""Beside the steps: the moving average of the weights, and batch norm's statistics anew."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from engine.core.torch_private import BatchNorm, lerp_all_
from engine.training.distributed import Workers


class Average:
    """Exponential moving average of a network's weights and buffers, on their device.

    Step t (from 0) keeps min(decay, (1 + t) / (10 + t)) of it.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: v.detach().clone() for name, v in module.state_dict().items()}
        self.floats = [name for name, v in self.tensors.items() if v.is_floating_point()]

    @torch.no_grad()
    def update(self, module: nn.Module, iteration: int) -> None:
        """Take in the weights after an iteration."""
        now = module.state_dict()
        # less than `decay` at first: weights of the random start are soon forgotten
        kept = min(self.decay, (1 + iteration) / (10 + iteration))
        averages = [self.tensors[name] for name in self.floats]
        lerp_all_(averages, [now[name] for name in self.floats], 1 - kept)
        # counters of batch norm
        for name in self.tensors.keys() - set(self.floats):
            self.tensors[name].copy_(now[name])


@torch.no_grad()
def precise_statistics(
    objective: nn.Module, batches: Iterable[dict[str, Tensor]], workers: Workers
) -> None:
    """Batch norm's running mean and variance as plain averages over all workers' batches.

    Weights stay as they are. The batches are as large as those of training: their size is part of
    what batch norm does.

    Precise BN of the authors' code (pycls); Wu, Johnson 2021, arXiv 2105.07576, section 3.
    """
    # running statistics are taken in this mode only; norms that are frozen stay out of it
    objective.train()
    norms = [m for m in objective.modules() if isinstance(m, BatchNorm) and m.training]
    # others normalise by each batch in testing too, and have nothing to compute anew
    norms = [layer for layer in norms if layer.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average, not an exponential one
    for batch in batches:
        objective(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        for statistic in (norm.running_mean, norm.running_var):
            workers.mean_(statistic)


@contextmanager
def normalisable() -> Iterator[None]:
    """Cause and fix where batch norm has one value per channel: PyTorch tells its shape alone."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "a forward pass has one image, whose last feature map is one pixel, and batch norm "
            "needs more than one value: set recipe.batch and recipe.micro to 2 or more for each "
            "worker, recipe.last to drop, or corpus.size higher"
        ) from None
