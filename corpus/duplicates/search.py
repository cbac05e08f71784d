"""Images that a corpus holds twice, or shares with an evaluation set: equal bytes, like hashes,
like features.

After Mahajan et al. 2018 (arXiv 1805.00932), where candidates are the k = 21 nearest neighbours by
deep features and every duplicated test image then counts as wrong; hashes find plain copies for far
less. Candidates are checked in their pixels by corpus.duplicates.overlap. A pair is (index in a,
index in b), or within one set (smaller, larger index).
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

NEIGHBOURS = 21  # Mahajan et al. 2018


class Groups(NamedTuple):
    """`first` (n,): the smallest index of each image's group, itself where it has no duplicate.

    `drop`: all others.
    """

    first: np.ndarray
    drop: np.ndarray


def exact(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Pairs (m, 2) of equal SHA-256 digests, uint8 (n, 32): each image with the first of a that
    has its bytes.
    """
    rows = np.ascontiguousarray(a if b is None else np.concatenate([a, b])).view(np.uint64)
    order = np.lexsort(rows.T)  # stable: the first of equal ones comes first
    new = np.ones(len(order), bool)
    new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(1)
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    pairs = np.stack([first, order], 1)[~new]
    if b is not None:
        pairs = pairs[(pairs[:, 0] < len(a)) & (pairs[:, 1] >= len(a))] - (0, len(a))
    return pairs[np.lexsort(pairs.T)]


def groups(n: int, pairs: np.ndarray) -> Groups:
    """What to keep of n images with duplicates `pairs` (m, 2): of images joined by any chain of
    pairs, the first.
    """
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (n, n))
    group = connected_components(links, directed=False)[1]
    first = np.unique(group, return_index=True)[1][group]
    return Groups(first, np.flatnonzero(first != np.arange(n)))


def knn(
    a: Tensor, b: Tensor, k: int = NEIGHBOURS, rows: int = 1024, columns: int = 1 << 18
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of a (n, d) nearest to each of b (m, d) by cosine, nearest first: indices and
    similarities (m, k).

    Block by block, so that a may be in memory where the similarities are not. Fewer than k where a
    is shorter.
    """
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = [
        _nearest(a, F.normalize(part.to(where).float(), dim=1), k, columns)
        for part in b.split(rows)
    ]
    similarities, indices = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return indices, similarities


def _nearest(a: Tensor, queries: Tensor, k: int, columns: int) -> tuple[Tensor, Tensor]:
    best, where = queries.new_empty(len(queries), 0), queries.device
    index = torch.empty(len(queries), 0, dtype=torch.int64, device=where)
    for start in range(0, len(a), columns):
        part = F.normalize(a[start : start + columns].to(where).float(), dim=1)
        values, places = (queries @ part.T).topk(min(k, len(part)), 1)
        best, index = torch.cat([best, values], 1), torch.cat([index, places + start], 1)
        best, kept = best.topk(min(k, best.shape[1]), 1)
        index = index.gather(1, kept)
    return best, index


def neighbour_pairs(
    indices: np.ndarray, similarities: np.ndarray, least: float, same: bool = False
) -> np.ndarray:
    """Candidate pairs (m, 2) of `knn`'s answer that are at least so similar; `same`: a and b are
    one set.
    """
    queries, places = np.nonzero(similarities >= least)
    pairs = np.stack([indices[queries, places], queries], 1)
    if same:
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)
    return pairs[np.lexsort(pairs.T[::-1])]
