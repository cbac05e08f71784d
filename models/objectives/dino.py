"""DINO: a network learns to answer as its own moving average does, which sees more of the image.

Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin 2021, "Emerging Properties in
Self-Supervised Vision Transformers", arXiv 2104.14294, section 3 (algorithm 1, equation 3; the
centre: equation 4) and appendix C (the projection head).
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment import crops
from models.blocks.gather import whole_mean
from models.blocks.methods.crossview import cross_view_entropy
from models.blocks.methods.method import Pace
from models.blocks.methods.multiview import each_view, wide
from models.blocks.methods.teacher import Taught
from models.blocks.ranges import Plug, Positive, Share, Whole, Width

__all__ = ["DINO", "DINOHead"]

KEPT = 0.9  # of the mean answer in a step: what is watched, which nothing is trained by


class LastLayer(nn.Module):
    """x (n, width) -> logits (n, prototypes), by vectors of the lengths `weight_g`, all 1 at first.

    Weight normalisation (Salimans, Kingma 2016, arXiv 1602.07868) under the names that the authors'
    checkpoints have: PyTorch's own has others since it is a parametrisation.
    """

    def __init__(self, width: int, prototypes: int, fixed: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(prototypes, 1), requires_grad=not fixed)
        self.weight_v = nn.Parameter(torch.empty(prototypes, width))
        # as any linear layer: the length of a vector only sets how fast its direction changes
        nn.init.kaiming_uniform_(self.weight_v, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_g * F.normalize(self.weight_v, dim=1))


class DINOHead(nn.Module):
    """features (n, inputs) -> logits (n, prototypes), by a bottleneck of length one."""

    def __init__(
        self, inputs: int, prototypes: int, hidden: int, bottleneck: int, norm_last_layer: bool
    ) -> None:
        super().__init__()
        first, second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        last = nn.Linear(hidden, bottleneck)
        for layer in (first, second, last):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        # no batch norm: with ViTs the whole method has none (section 3.2)
        self.mlp = nn.Sequential(first, nn.GELU(), second, nn.GELU(), last)
        self.last_layer = LastLayer(bottleneck, prototypes, norm_last_layer)

    def embed(self, features: Tensor) -> Tensor:
        """The bottleneck (n, bottleneck), of length one."""
        return F.normalize(wide(self.mlp(features)), dim=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.last_layer(self.embed(features))


class DINO(Taught):
    """image (n, v, 3, h, w), of which a teacher sees the first two views, and small ones beside.

    Fewer prototypes than the paper's are sensible for few images: each costs as many numbers as the
    bottleneck has in both networks, and every view answers with all of them. The paper's recipe has
    a weight decay that rises (`decay_end`), a rate that falls to 1e-6 (`cosine_after_warmup`,
    `floor`) and the gradient of each parameter clipped at 3 (`clip`, `clip_each`). Its drop path,
    of the student alone, is left out: `vit` has none, and those of torchvision drop in the teacher
    too.

    views: what makes them; null: crops with the paper's distortions, 2 and 8 small ones.
    prototypes: numbers that the two networks answer with.
    hidden: channels between the layers of the projection head.
    bottleneck: channels before its last layer.
    norm_last_layer: whether the vectors of the last layer keep the length 1: false learns better
        and is less stable.
    freeze_last_layer: epochs at the start in which the last layer stays as it is.
    student_temperature: that the logits of the network in training are divided by.
    teacher_temperature: that those of its teacher are divided by, after `warmup_epochs`.
    warmup_temperature: that of the teacher in the first epoch of these.
    warmup_epochs: epochs in which the teacher's temperature goes from one to the other, in equal
        steps; the last of them has the final one.
    momentum: what the teacher keeps of its weights in the first step; it rises to 1.
    centre_momentum: what the mean of the teacher's logits keeps in a step.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,  # noqa: F821
        prototypes: Width = 65536,
        hidden: Width = 2048,
        bottleneck: Width = 256,
        norm_last_layer: bool = True,
        freeze_last_layer: Whole = 1,
        student_temperature: Positive = 0.1,
        teacher_temperature: Positive = 0.04,
        warmup_temperature: Positive = 0.04,
        warmup_epochs: Whole = 0,
        momentum: Share = 0.996,
        centre_momentum: Share = 0.9,
    ) -> None:
        sizes = (backbone.channels[-1], prototypes, hidden, bottleneck)
        own = DINOHead(*sizes, norm_last_layer)
        super().__init__(backbone, head, views or partial(crops.Crops, **crops.DINO), own, momentum)
        self.freeze_last_layer, self.frozen = freeze_last_layer, freeze_last_layer > 0
        self.student_temperature = student_temperature
        # numbers, also where a network is made without memory
        places = {"dtype": torch.float64, "device": "cpu"}
        steps = (warmup_temperature, teacher_temperature, warmup_epochs)
        self.temperatures = torch.linspace(*steps, **places).tolist()
        self.temperatures.append(teacher_temperature)
        self.centre_momentum = centre_momentum
        # each step sets it
        self.register_buffer("temperature", torch.tensor(self.temperatures[0]), persistent=False)
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("answer", torch.full((prototypes,), 1 / prototypes))
        # of the last forward: (n, 2, prototypes), the teacher's logits and answers of each sample
        self.seen: Tensor | None = None

    def embedded(self, images: Tensor) -> Tensor:
        """Bottlenecks (n, bottleneck) of normalised images: logits are linear in them."""
        return self.projector.embed(self.features(images))

    def answers(self, images: Tensor) -> Tensor:
        """Those of the teacher (n, prototypes), centred and sharpened."""
        pooled = self.pooled(images[:, None], self.teacher.backbone)[:, 0]
        logits = wide(self.teacher.projector(pooled))
        return ((logits - self.centre) / self.temperature).softmax(1)

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        with torch.no_grad():
            answers = self.taught(batch["image"][:, :2])
        pooled = self.pooled_all(batch)
        logits = wide(each_view(pooled, self.projector))
        loss = cross_view_entropy(logits / self.student_temperature, answers)
        # the part of the loss that no student can lower, and log(prototypes) where it collapses
        return {"loss": loss, "entropy": torch.special.entr(answers).sum(2).mean()}

    def taught(self, views: Tensor) -> Tensor:
        """The teacher's answers (n, 2, prototypes), probabilities, to views (n, 2, 3, ...)."""
        pooled = self.pooled(views, self.teacher.backbone)
        logits = wide(each_view(pooled, self.teacher.projector))
        answers = ((logits - self.centre) / self.temperature).softmax(2)
        self.seen = torch.stack([logits.mean(1), answers.mean(1)], 1)
        return answers

    def before_step(self, pace: Pace) -> None:
        super().before_step(pace)
        self.temperature.fill_(self.temperatures[min(pace.epoch, len(self.temperatures) - 1)])
        self.frozen = pace.epoch < self.freeze_last_layer

    def before_update(self) -> None:
        if self.frozen:
            # no gradient at all: of a zero one weight decay and momentum would still move it
            for parameter in self.projector.last_layer.parameters():
                parameter.grad = None

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        super().after_step(progress)
        if self.seen is None:
            return
        logits, answer = whole_mean(self.seen)
        self.centre.lerp_(logits, 1 - self.centre_momentum)
        self.answer.lerp_(answer, 1 - KEPT)
        self.seen = None

    def monitors(self) -> dict[str, float]:
        """Entropy of the teacher's mean answer: log(prototypes), and 0 where all are alike."""
        return super().monitors() | {
            "teacher_temperature": float(self.temperature),
            "teacher_entropy": float(torch.special.entr(self.answer).sum()),
        }
