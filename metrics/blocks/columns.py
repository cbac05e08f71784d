"""What a metric reads of a batch: columns found by name, with shapes that fit together."""

from typing import NamedTuple

import torch
from torch import Tensor

from metrics.blocks.metric import Batch, Reads


class Scored(NamedTuple):
    """What n samples were given, and what is true of them.

    scores (n, classes). target: classes (n,), or (n, classes), above 0 where a class is true.
    Of each sample, bool (n,): known, whether its target is; nan, whether a score of it is NaN;
    outside, whether its class is none of the scores'.
    """

    scores: Tensor
    target: Tensor
    known: Tensor
    nan: Tensor
    outside: Tensor

    def one_class(self) -> Tensor:
        """The one class of each sample, int64 (n,); ValueError where several may be true."""
        if self.target.ndim != 1:
            raise ValueError(
                f"this metric wants one class per sample, ({len(self.target)},), and got multi-hot "
                f"{tuple(self.target.shape)}: mean_ap and f1 are metrics of several classes"
            )
        return self.target.long()

    def multi_hot(self) -> Tensor:
        """bool (n, classes): which classes are true of each sample."""
        if self.target.ndim == 2:
            return self.target > 0
        # one_hot would end the process on a GPU where a class is outside
        classes = torch.arange(self.scores.shape[1], device=self.target.device)
        return self.target[:, None] == classes


def read_scores(predictions: Batch, targets: Batch, reads: Reads) -> Scored:
    """The scores and the target that `reads` names.

    ValueError where one is missing, or their shapes do not fit together.
    """
    (wanted,), (wanted_target,) = reads.predictions, reads.targets
    name = found_name(predictions, wanted, "predictions")
    scores = _tensor(predictions, name)
    if scores.ndim != 2:
        raise ValueError(
            f"{name} of shape {tuple(scores.shape)}: give a row per sample and a column per "
            "class, (n, classes)"
        )
    n, classes = scores.shape
    name = found_name(targets, wanted_target, "targets")
    target = _tensor(targets, name)
    if target.shape not in [(n,), (n, classes)]:
        raise ValueError(
            f"{name} of shape {tuple(target.shape)} does not fit scores of shape {(n, classes)}: "
            f"give classes ({n},) or multi-hot ({n}, {classes})"
        )
    known = _known(targets, name, target)
    outside = torch.zeros_like(known)
    if target.ndim == 1:
        outside = known & ((target < 0) | (target >= classes))
    return Scored(scores, target, known, scores.isnan().any(1), outside)


def found_name(batch: Batch, names: str | tuple[str, ...], whose: str) -> str:
    """The first of these names that a batch has; ValueError tells both where it has none."""
    names = (names,) if isinstance(names, str) else names
    for name in names:
        if name in batch:
            return name
    raise ValueError(
        f"the metric reads {' or '.join(names)}, which is not among the columns of the {whose}: "
        f"{', '.join(sorted(batch)) or 'there are none'}"
    )


def _tensor(batch: Batch, name: str) -> Tensor:
    found = batch[name]
    if isinstance(found, Tensor):
        return found
    lengths = sorted({len(row) for row in found})
    raise ValueError(
        f"{name}: rows of {lengths[0]} to {lengths[-1]} numbers; give as many in each, one per "
        "class"
    )


def _known(targets: Batch, name: str, target: Tensor) -> Tensor:
    """bool (n,): of which samples the target is known."""
    if f"{name}_known" not in targets:
        return torch.ones(len(target), dtype=torch.bool, device=target.device)
    known = _tensor(targets, f"{name}_known")
    if known.shape != target.shape[:1]:
        raise ValueError(
            f"{name}_known of shape {tuple(known.shape)}: give one truth value per sample, "
            f"({len(target)},)"
        )
    return known.bool()
