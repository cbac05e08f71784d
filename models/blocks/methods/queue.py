"""A queue of vectors of the batches before: what a batch is contrasted with beside itself.

He, Fan, Wu, Xie, Girshick 2020, "Momentum Contrast for Unsupervised Visual Representation
Learning", arXiv 1911.05722, section 3.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Queue"]


class Queue(nn.Module):
    """vectors (size, width): the last ones that were pushed; random of length one at first.

    place: the row that is overwritten next.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", F.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, vectors: Tensor) -> None:
        """The rows (n, width) take the places of the oldest; of more than `size` the last stay."""
        size, place = len(self.vectors), self.place
        kept = vectors[-size:].to(self.vectors.dtype)
        place = place + len(vectors) - len(kept)
        rows = (place + torch.arange(len(kept), device=self.vectors.device)) % size
        self.vectors[rows] = kept
        self.place.add_(len(vectors)).remainder_(size)
