"""How good a representation is before anything is trained on it, and whether it has collapsed.

Pure functions of features (n, d), a row per image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["effective_rank", "feature_spread", "has_collapsed", "knn_accuracy"]

AT_ONCE = 1024  # queries that are compared with the whole bank together
EPSILON = 1e-7  # of RankMe, so that no share is zero
# below either a representation has collapsed: benchmarks/collapse.py
LEAST_SPREAD, LEAST_RANK = 0.1, 1.5


def feature_spread(features: Tensor) -> float:
    """The deviation of normalised features, as a mean over dimensions, times the root of d.

    1: spread over the whole sphere, 0: all in one point. Chen & He 2021, "Exploring Simple Siamese
    Representation Learning", arXiv 2011.10566, section 4.1 and figure 2, which plots it without the
    root: 1 / sqrt(d) is spread there. NaN where a feature is not finite.
    """
    units = F.normalize(features.double(), dim=1)
    return float(units.std(0, correction=0).mean() * units.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """The exponential of the entropy of the singular values: in how many dimensions features lie.

    From 1 to the lesser of n and d. Garrido et al. 2023, "RankMe: Assessing the Downstream
    Performance of Pretrained Self-Supervised Representations by Their Rank", arXiv 2210.02885,
    equations 1 and 2. Features are not centred. NaN where one is not finite.
    """
    if not torch.isfinite(features).all():
        return float("nan")
    values = torch.linalg.svdvals(features.double())
    # features that are all zero have no rank to speak of: one
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny) + EPSILON
    return float(torch.exp(-(shares * shares.log()).sum()))


def knn_accuracy(
    bank: Tensor,
    classes: Tensor,
    queries: Tensor,
    truth: Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Percent of queries (m, d) of which the nearest of a bank (n, d) name the class.

    The k nearest by cosine vote, each by exp(cosine / temperature): Wu et al. 2018, arXiv
    1805.01978, section 3.4, with the temperature of Caron et al. 2021, arXiv 2104.14294.
    """
    # not the head models/heads/knn.py, which votes alike: a plug-in that is imported here would
    # be code of every pretraining, which its edit would repeat
    units, count = F.normalize(bank, dim=1), int(classes.max()) + 1
    right = 0
    for part, true in zip(queries.split(AT_ONCE), truth.split(AT_ONCE), strict=True):
        likeness = F.normalize(part, dim=1) @ units.T
        near, places = likeness.topk(min(k, len(bank)), dim=1)
        weights = (near / temperature).softmax(1)
        votes = weights.new_zeros(len(part), count).scatter_add(1, classes[places], weights)
        right += int((votes.argmax(1) == true).sum())
    return 100 * right / len(queries)


def has_collapsed(spread: float, rank: float) -> bool:
    """Whether all features are nearly one point, or lie nearly on one line."""
    return spread < LEAST_SPREAD or rank < LEAST_RANK
