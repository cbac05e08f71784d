"""What a metric reads of a batch: columns found by name, with shapes that fit together."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.blocks.metric import Batch

Reads = tuple[str | tuple[str, ...], ...]


class Scored(NamedTuple):
    """What n samples were given, and what is true of them.

    scores (n, classes). target: classes (n,), or (n, classes), above 0 where a class is true.
    known bool (n,): whether the target is. nan bool (n,): whether a score is NaN.
    """

    scores: Tensor
    target: Tensor
    known: Tensor
    nan: Tensor


def column(batch: Batch, names: str | tuple[str, ...], whose: str) -> str:
    """The first of these names that a batch has; ValueError tells both where it has none."""
    names = (names,) if isinstance(names, str) else names
    for name in names:
        if name in batch:
            return name
    raise ValueError(
        f"the metric reads {' or '.join(names)}, which the {whose} have not: "
        f"they have {', '.join(sorted(batch)) or 'no column'}"
    )


def scored(predictions: Batch, targets: Batch, reads: Reads) -> Scored:
    """The scores and the target that `reads` names.

    ValueError where one is missing, or their shapes do not fit together.
    """
    scores = _tensor(predictions, column(predictions, reads[0], "predictions"))
    name = column(targets, reads[1], "targets")
    target = _tensor(targets, name)
    if scores.ndim != 2:
        raise ValueError(
            f"{reads[0]} of shape {tuple(scores.shape)}: a metric wants a row per sample and a "
            "column per class, (n, classes)"
        )
    n, classes = scores.shape
    if target.shape not in [(n,), (n, classes)]:
        raise ValueError(
            f"{name} of shape {tuple(target.shape)} does not fit {reads[0]} of shape "
            f"{(n, classes)}: give classes ({n},) or multi-hot ({n}, {classes})"
        )
    return Scored(scores, target, _known(targets, name, target), scores.isnan().any(1))


def _tensor(batch: Batch, name: str) -> Tensor:
    found = batch[name]
    if isinstance(found, Tensor):
        return found
    lengths = sorted({len(row) for row in found})
    raise ValueError(
        f"column {name}: its rows differ in length ({lengths[0]} to {lengths[-1]}), "
        "where the metric wants a row per sample and a column per class"
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


def one_class(sample: Scored, metric: str) -> Tensor:
    """The one class of every sample, int64 (n,); ValueError where several may be true."""
    if sample.target.ndim != 1:
        raise ValueError(
            f"{metric} wants one class per sample, ({len(sample.target)},), and got multi-hot "
            f"{tuple(sample.target.shape)}: of several classes metrics.mean_ap and metrics.f1 tell"
        )
    return sample.target.long()


def multi_hot(sample: Scored) -> Tensor:
    """bool (n, classes): which classes are true of each sample."""
    if sample.target.ndim == 2:
        return sample.target > 0
    # what is not known has no class to count from
    target = sample.target.long().where(sample.known, 0)
    return F.one_hot(target, sample.scores.shape[1]).bool()
