"""MoCo: each sample's view is told from a queue of other samples by the key of another view of it.

He, Fan, Wu, Xie, Girshick 2020, "Momentum Contrast for Unsupervised Visual Representation
Learning", arXiv 1911.05722, section 3 (equations 1 and 2; shuffled batch norm in 3.3). Chen, Fan,
Girshick, He 2020, "Improved Baselines with Momentum Contrastive Learning", arXiv 2003.04297: a
perceptron for a projector, stronger views. Several keys of each sample, and a momentum that rises
to one: Feichtenhofer, Fan, Xiong, Girshick, He 2021, "A Large-Scale Study on Unsupervised
Spatiotemporal Representation Learning", arXiv 2104.14558, section 3.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.crops import MOCO_V2, Crops
from models.blocks.augment.draws import Draws, moved
from models.blocks.gather import first_row, gather, worker_count
from models.blocks.methods.method import Pace
from models.blocks.methods.multiview import wide
from models.blocks.methods.projector import projector
from models.blocks.methods.queue import Queue
from models.blocks.methods.teacher import Taught, rising_momentum
from models.blocks.ranges import Count, Depth, Plug, Positive, Share, Width

__all__ = ["MoCo", "info_nce"]


class MoCo(Taught):
    """image (n, v, 3, h, w): queries are of the first view, keys of each of the others.

    The keys of a step enter the queue after it. The teacher follows after a step too, where the
    authors' code has it follow before the keys of the next one: the weights are the same.

    views: what makes them; null: crops with the distortions of MoCo v2.
    layers: linear layers of the projector; one is that of MoCo v1.
    hidden: channels between them; null: those of the features.
    width: numbers that a query or a key has.
    queue: keys that are kept of the steps before.
    momentum: share of its weights that the teacher keeps in a step.
    anneal: whether that rises to one along half a cosine.
    temperature: that similarities are divided by.
    splits: parts of a step that batch norm sees one by one, other samples together for keys than
        for queries; as many as the paper has GPUs. Fewer where one would have a single sample.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,
        layers: Depth = 2,
        hidden: Width | None = None,
        width: Width = 128,
        queue: Count = 65536,
        momentum: Share = 0.999,
        anneal: bool = False,
        temperature: Positive = 0.2,
        splits: Count = 8,
    ) -> None:
        features = backbone.channels[-1]
        inner = [hidden or features] * (layers - 1)
        own = projector((features, *inner, width), norm=False)
        super().__init__(backbone, head, views or partial(Crops, **MOCO_V2), own, momentum)
        self.queue = Queue(queue, width)
        self.anneal, self.temperature, self.splits = anneal, temperature, splits
        # of the present step: the keys of all workers, and how like queries are to their keys
        self.entering: Tensor | None = None
        self.likeness: Tensor | None = None

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Views, and `order` (n,): the sample of the step whose key is computed in each row."""
        made = super().views(batch, draws)
        n = len(made["image"])
        total = draws.first + n if draws.total is None else draws.total
        order = draws.once(total).argsort()[draws.first : draws.first + n]
        return made | {"order": moved(order, made["image"].device)}

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        views = batch["image"]
        (queries,) = self.encoded(views[:, :1], self.backbone, self.projector).unbind(1)
        keys = self.keys(views[:, 1:], batch["order"])
        start = first_row(queries)
        own = keys[start : start + len(queries)]
        # view by view, as the authors' code
        self.entering = keys.transpose(0, 1).flatten(0, 1)
        self.likeness = (queries.detach()[:, None] * own).sum(2).mean()
        return {"loss": info_nce(queries, own, self.queue.vectors, self.temperature)}

    @torch.no_grad()
    def keys(self, views: Tensor, order: Tensor) -> Tensor:
        """Keys (all samples of the step, v, width) of this worker's views (n, v, ...)."""
        encoders = self.teacher.backbone, self.teacher.projector
        if worker_count() * self.parts(len(views)) == 1:
            # whose companions would be the same in any order
            return self.encoded(views, *encoders)
        made = gather(self.encoded(gather(views)[order], *encoders))
        # a worker without a sample repeats one: there is a row more than the order tells of
        keys = made.clone()
        keys[gather(order)] = made
        return keys

    def encoded(self, views: Tensor, backbone: nn.Module, projector: nn.Module) -> Tensor:
        """Vectors (n, v, width) of length one, of views that pass the backbone part by part."""
        parts = views.tensor_split(self.parts(len(views)))
        pooled = torch.cat([self.pooled(part, backbone) for part in parts])
        return F.normalize(wide(projector(pooled)), dim=2)

    def parts(self, n: int) -> int:
        """Into how many parts this worker's n samples are split, of `splits` of all workers."""
        return max(1, min(self.splits // worker_count(), n // 2))

    def before_step(self, pace: Pace) -> None:
        super().before_step(pace)
        self.momentum = self.first_momentum

    def after_step(self, progress: float) -> None:
        if self.anneal:
            # that of the step to come, whose keys are computed by this teacher
            self.momentum = rising_momentum(self.first_momentum, progress)
        super().after_step(progress)
        self.queue.push(self.entering)
        self.entering = None

    def monitors(self) -> dict[str, float]:
        """The teacher's momentum, and the mean similarity of queries and their keys."""
        found = super().monitors()
        if self.likeness is not None:
            found["positive_similarity"] = self.likeness.item()
        return found


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Mean loss of queries (n, d), each against keys of its own (n, v, d) and the queue (k, d)."""
    positive = (queries[:, None] * keys).sum(2) / temperature
    negative = (queries @ queue.T / temperature).logsumexp(1, keepdim=True)
    return (torch.logaddexp(positive, negative) - positive).mean()
