"""SwAV: from one view of a sample the cluster of another is told, clusters being equally large.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin 2020, "Unsupervised Learning of Visual Features by
Contrasting Cluster Assignments", arXiv 2006.09882, section 3 (equations 1 to 5) and appendix A. Of
clips in the place of crops: Feichtenhofer, Fan, Xiong, Girshick, He 2021, "A Large-Scale Study on
Unsupervised Spatiotemporal Representation Learning", arXiv 2104.14558, section 3.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment import crops
from models.blocks.gather import first_row, gather
from models.blocks.methods.crossview import cross_view_entropy
from models.blocks.methods.method import Pace
from models.blocks.methods.multiview import MultiView, each_view, wide
from models.blocks.methods.projector import projector
from models.blocks.methods.queue import Queue
from models.blocks.ranges import Count, Plug, Positive, Whole, Width

__all__ = ["SwAV", "sinkhorn"]

CODED = 2  # views that others are to tell the clusters of


class SwAV(MultiView):
    """image (n, v, 3, h, w), of which the first two views are assigned; small ones are not.

    Fewer prototypes than the paper's are sensible for few images: no more than a batch and the
    queue have views, else most of them get a share of nothing. A batch of less than some hundreds
    needs the queue.

    views: what makes them; null: crops with the paper's distortions, 2 and 6 small ones.
    prototypes: centres of clusters.
    hidden: channels between the two layers of the projector.
    width: numbers that a projection has.
    temperature: that similarities are divided by where a cluster is told.
    epsilon: that they are divided by where views are assigned: the smaller, the less evenly.
    rounds: of Sinkhorn and Knopp, which make clusters equally large.
    queue: projections of the steps before that are assigned with those of a step; 0 for none, 3840
        in the paper for a batch of 256.
    queue_start: epochs before the queue is used, which also has to be full.
    freeze_prototypes: epochs at the start in which the prototypes stay as they are.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,  # noqa: F821
        prototypes: Width = 3000,
        hidden: Width = 2048,
        width: Width = 128,
        temperature: Positive = 0.1,
        epsilon: Positive = 0.05,
        rounds: Count = 3,
        queue: Whole = 0,
        queue_start: Whole = 15,
        freeze_prototypes: Whole = 1,
    ) -> None:
        super().__init__(backbone, head, views or partial(crops.Crops, **crops.SWAV))
        self.projector = projector((self.width, hidden, width))
        self.prototypes = nn.Linear(width, prototypes, bias=False)
        self.normalise()
        self.temperature, self.epsilon, self.rounds = temperature, epsilon, rounds
        self.queue_start, self.freeze_prototypes = queue_start, freeze_prototypes
        # one for each assigned view
        self.queues = nn.ModuleList(Queue(queue, width) for _ in range(CODED if queue else 0))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))
        # whether the queue is used, the prototypes frozen: each step sets both
        self.queued, self.frozen = False, freeze_prototypes > 0
        # of the last forward: projections (n, 2, width) of all workers
        self.seen: Tensor | None = None

    @torch.no_grad()
    def normalise(self) -> None:
        """Prototypes are on the sphere, as projections are."""
        weight = self.prototypes.weight
        weight.copy_(F.normalize(weight, dim=1))

    def answers(self, images: Tensor) -> Tensor:
        """Shares of clusters (n, prototypes) that are told of images."""
        projected = F.normalize(wide(self.embedded(images)), dim=1)
        return (wide(self.prototypes(projected)) / self.temperature).softmax(1)

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        pooled = self.pooled_all(batch)
        projected = F.normalize(wide(each_view(pooled, self.projector)), dim=2)
        scores = wide(self.prototypes(projected))
        codes = self.codes(projected.detach()[:, :CODED])
        loss = cross_view_entropy(scores / self.temperature, codes)
        # the part of the loss that nothing can lower; log(prototypes) where all views look alike
        return {"loss": loss, "entropy": torch.special.entr(codes).sum(2).mean()}

    @torch.no_grad()
    def codes(self, projected: Tensor) -> Tensor:
        """Shares of clusters (n, 2, prototypes) of projections (n, 2, width), without gradient.

        Clusters are equally large over all workers' samples, and the queue where it is used.
        """
        self.seen = gather(projected)
        start, found = first_row(projected), []
        for view, every in enumerate(self.seen.unbind(1)):
            if self.queued:
                every = torch.cat([every, self.queues[view].vectors])
            shares = sinkhorn(wide(self.prototypes(every)), self.epsilon, self.rounds)
            found.append(shares[start : start + len(projected)])
        return torch.stack(found, 1)

    def before_step(self, pace: Pace) -> None:
        self.frozen = pace.epoch < self.freeze_prototypes
        if self.queues and not self.queued and pace.epoch >= self.queue_start:
            # the host waits for the device here, from the first such epoch on until it is full
            self.queued = int(self.pushed) >= len(self.queues[0].vectors)

    def before_update(self) -> None:
        if self.frozen:
            # no gradient at all: of a zero one weight decay and momentum would still move them
            self.prototypes.weight.grad = None

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        self.normalise()
        if self.seen is None:
            return
        for queue, vectors in zip(self.queues, self.seen.unbind(1), strict=False):
            queue.push(vectors)
        self.pushed.add_(len(self.seen))
        self.seen = None


def sinkhorn(scores: Tensor, epsilon: float, rounds: int) -> Tensor:
    """Shares (n, k) of clusters, each row of sum 1: exp(scores / epsilon), clusters equally large.

    Appendix A: in turns, columns are divided by their sums and rows by theirs, the rows last.
    """
    # by logarithms: a small epsilon would overflow, or leave a cluster nothing to divide by
    logs = scores / epsilon
    for _ in range(rounds):
        logs = logs.log_softmax(0).log_softmax(1)
    return logs.exp()
