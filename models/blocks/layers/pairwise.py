"""Every position of a map answers with values of all positions: non-local means.

Wang, Girshick, Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, section 3.
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["pairwise", "products"]


def pairwise(queries: Tensor, keys: Tensor, values: Tensor, kind: str) -> Tensor:
    """(b, d, n) queries, (b, d, m) keys and (b, e, m) values -> (b, e, n).

    kind: `softmax` of the products over the keys (the Gaussian), the products themselves over m
    (`dot`), or the rectified sums over m (`sum`, of d = 1: the concatenation).
    """
    number = keys.shape[-1]
    if kind == "softmax":
        weights = torch.softmax(queries.transpose(1, 2) @ keys, dim=-1)
        return values @ weights.transpose(1, 2)
    if kind == "sum":
        weights = torch.relu(queries.transpose(1, 2) + keys)
        return values @ weights.transpose(1, 2) / number
    assert kind == "dot", kind
    # the same product either way round; dividing first keeps half precision from overflowing
    keys = keys / number
    if _narrow(*keys.shape[1:], values.shape[1], queries.shape[-1]):
        return (values @ keys.transpose(1, 2)) @ queries
    return values @ (keys.transpose(1, 2) @ queries)


def products(
    d: np.ndarray, e: np.ndarray, n: np.ndarray, m: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply-adds and outputs of pairwise's matrix products.

    Of widths d, e and numbers of positions n, m; or of arrays of these.
    """
    if kind == "sum":
        return n * m * e, n * e
    flops, acts = n * m * (d + e), n * m + n * e
    if kind == "softmax":
        return flops, acts
    narrow = _narrow(d, m, e, n)
    return np.where(narrow, d * e * (n + m), flops), np.where(narrow, d * e + n * e, acts)


def _narrow(d: int, m: int, e: int, n: int) -> bool:
    """Whether (values keys^T) queries is cheaper than values (keys^T queries)."""
    return d * e * (n + m) < n * m * (d + e)
