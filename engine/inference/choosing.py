"""Which unlabelled images a person should label next: those in doubt, and no two alike.

Of all images the most uncertain are kept, by their margin: the best score less the second best
(Scheffer, Decomain, Wrobel 2001, "Active Hidden Markov Models for Information Extraction"; for two
classes Lewis, Gale 1994, "A Sequential Algorithm for Training Text Classifiers"; compared in
Settles 2009, "Active Learning Literature Survey", section 3.1). Out of these a k-center greedy
takes the one that lies farthest from all that it has taken (Sener, Savarese 2018, "Active Learning
for Convolutional Neural Networks: A Core-Set Approach", arXiv 1708.00489, algorithm 1). First the
doubt, then the coverage: Wei, Iyer, Bilmes 2015, "Submodularity in Data Subset Selection and Active
Learning", section 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SHARE = 10  # uncertain images that are kept for each that is chosen


def margins(scores: Tensor) -> Tensor:
    """Falling scores (n, k) -> (n,): the best less the second best; 1 where there is one alone."""
    if scores.shape[1] < 2:
        return torch.ones(len(scores))
    return scores[:, 0] - scores[:, 1]


class Doubtful:
    """The most uncertain images of a stream, with their features: so many, however long it is."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows = torch.zeros(0, dtype=torch.int64)
        self.margin = torch.zeros(0)
        self.features: Tensor | None = None

    def add(self, rows: Tensor, margin: Tensor, features: Tensor) -> None:
        """Images by their rows (n,), margins (n,) and features (n, d)."""
        before = features[:0] if self.features is None else self.features
        margin = torch.cat([self.margin, margin])
        # stable: of equal margins the first image
        keep = margin.sort(stable=True).indices[: self.most]
        self.rows, self.margin = torch.cat([self.rows, rows])[keep], margin[keep]
        self.features = torch.cat([before, features])[keep]

    def chosen(self, count: int) -> list[int]:
        """The rows of up to `count` of them, in the order in which they are worth labelling."""
        if self.features is None:
            return []
        return self.rows[farthest(self.features, count)].tolist()


def farthest(features: Tensor, count: int) -> Tensor:
    """Places of `count` features (n, d), int64: the first, then each farthest from those before.

    Distances are those of directions, as features of a network differ in length by contrast.
    """
    points = F.normalize(features, dim=1)
    chosen = torch.zeros(min(count, len(points)), dtype=torch.int64)
    nearest = torch.full((len(points),), torch.inf)
    for place in range(1, len(chosen)):
        similarity = points @ points[chosen[place - 1]]
        nearest = torch.minimum(nearest, 1 - similarity)
        # none twice, even where all that is left has been covered
        nearest[chosen[place - 1]] = -torch.inf
        chosen[place] = nearest.argmax()
    return chosen
