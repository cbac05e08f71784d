"""What is told of one view of a sample from the others, as a loss.

The swapped prediction of Caron et al. 2020, "Unsupervised Learning of Visual Features by
Contrasting Cluster Assignments", arXiv 2006.09882, section 3.1; with the answers of a teacher in
the place of codes, Caron et al. 2021, arXiv 2104.14294, equation 3.
"""

from torch import Tensor

__all__ = ["cross_view_entropy"]


def cross_view_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy of all views (n, v, k), with targets (n, t, k) of the first t of them.

    A view is not compared with its own target: of two targets 2 v - 2 pairs count.
    """
    logs, views = logits.log_softmax(2), logits.shape[1]
    # the same view taken out of the sum of all; no matrix product, which autocast would halve
    others = logs.sum(1, keepdim=True) - logs[:, : targets.shape[1]]
    return -(targets * others).sum(2).mean() / (views - 1)
