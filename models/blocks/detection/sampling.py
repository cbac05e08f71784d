"""Which anchors and regions a loss is of, and the mean over those of all workers.

Girshick 2015, "Fast R-CNN", arXiv 1504.08083, section 2.3; Ren, He, Girshick, Sun 2015, "Faster
R-CNN", arXiv 1506.01497, section 3.1.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.blocks.detection.matching import NEGATIVE
from models.blocks.detection.scene import sampled
from models.blocks.gather import whole_mean

__all__ = ["averaged", "chosen"]


def chosen(
    matched: Tensor, samples: int, positive: float, seed: int, stream: int
) -> tuple[Tensor, Tensor]:
    """Places in matched (n,) of positives and of negatives, drawn by the image's seed.

    positive: share of the samples that are positives at the most; negatives fill the rest.
    stream: another draw of the same image.
    """
    places, others = (matched >= 0).nonzero()[:, 0], (matched == NEGATIVE).nonzero()[:, 0]
    drawn = sampled(seed, len(places), int(samples * positive), 2 * stream)
    rest = sampled(seed, len(others), samples - len(drawn), 2 * stream + 1)
    return places[drawn.to(places.device)], others[rest.to(others.device)]


def averaged(total: Tensor, counts: Sequence[int]) -> Tensor:
    """The sum of losses of this worker's images, divided by its share of all workers' samples.

    counts: samples of each of its images. The mean of what the workers get is the sum over all
    images divided by all samples, as one worker would have it. 0 where there is no sample.
    Every worker has to call it, as often as the others.
    """
    each = torch.tensor(counts, dtype=torch.float32, device=total.device)
    # of all workers' images, one by one, which may be less than one
    samples = whole_mean(each) * len(counts)
    return total / samples.clamp(min=1e-6)
