"""What every objective, a method of training, has: a new one writes `views` and `forward`.

A batch is columns by name (engine/core/batch.py), a row per sample.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.methods.reading import PIXELS, column_of, columns_with

__all__ = ["Method", "Pace", "Phases"]

# of each optimizer of a training, by the name of its phase: what it updates, and what of the recipe
# is another for it
Phases = dict[str, tuple[Iterable[nn.Parameter], dict[str, Any]]]


@dataclass(frozen=True)
class Pace:
    """Where in a training a step is: the steps before it, those of all epochs and those of one."""

    iteration: int = 0
    total: int = 1
    per_epoch: int = 1

    @property
    def progress(self) -> float:
        """The share of all steps that is done before this one, from 0 to below 1."""
        return self.iteration / self.total

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return self.iteration // self.per_epoch


class Method(nn.Module):
    """An objective around a backbone and a head.

    reads: columns of the data set that it needs, each with the options of its reading.
    column: the one of them that views are made of.
    inputs: columns of a view that the network sees; the others are targets.
    target: the column that a head is fitted on and that a metric compares with; empty for none.
    classifies: whether its head learns to tell the classes of the data.
    exact_in_parts: whether the loss of a batch is the mean over its parts. Where it is not, as when
        samples are contrasted with each other, micro-batches are refused.
    shardable: whether its weights may be split over workers (recipe.sharded).
    """

    reads: ClassVar[dict[str, dict[str, Any]]] = {"image": {}}
    column: str = "image"
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    target: ClassVar[str] = ""
    classifies: ClassVar[bool] = True
    exact_in_parts: ClassVar[bool] = True
    shardable: ClassVar[bool] = True

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    @classmethod
    def columns(cls, **options: Any) -> dict[str, dict[str, Any]]:
        """What of a data set is read, with these settings of the objective.

        `reads`, with the column that its `views` are made of in the place of the images.
        """
        return columns_with(options.get("views"), cls.reads)

    def seen_by(self, views: Callable[..., nn.Module] | None) -> None:
        """Read the column that these views are made of."""
        self.reads, self.column = columns_with(views, self.reads), column_of(views)
        self.tested = columns_with(views, self.reads, test=True)

    def test_columns(self, columns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """What `test_views` reads of a data set of which these columns are read."""
        return columns

    def input_shape(self, size: int) -> tuple[int, ...]:
        """Of what the network is tested on, without the batch: (3, h, w), or (3, t, h, w).

        size: pixels of the data's images, or of the short side of its videos.
        """
        shape = getattr(getattr(self, "augment", None), "shape", None)
        return shape(size) if shape else (3, size, size)

    @staticmethod
    def facts(facts: dict[str, Any], **options: Any) -> dict[str, Any]:
        """What the head is built from, of the facts of the data and the backbone.

        Asked before there is an objective: one that makes its own targets has its own `classes`.
        options: the objective's own settings.
        """
        return facts

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """What is trained on: random views of a batch of the data set."""
        raise NotImplementedError

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        """{"loss", and parts of it to be reported}: scalars, means over the batch's samples."""
        raise NotImplementedError

    def plain(self, images: Tensor) -> Tensor:
        """Images uint8 (n, h, w, 3) as the network is tested on them, float (n, 3, h, w).

        Of another `column` what is of it: of clips float (n, 3, t, h, w).
        """
        raise NotImplementedError

    def test_views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """What is measured on: `predict` of its inputs is compared with its targets."""
        return self.with_inputs(batch, self.plain(batch[self.column]))

    def with_inputs(self, batch: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        """The batch with what the network sees in the place of what it is made of."""
        kept = {name: column for name, column in batch.items() if name not in PIXELS[1:]}
        return kept | {"image": images}

    def targets(self, view: dict[str, Tensor]) -> dict[str, Tensor]:
        """What of a view the network does not see: what its predictions are compared with."""
        seen = {*self.inputs, self.column}
        return {name: column for name, column in view.items() if name not in seen}

    def logits(self, images: Tensor) -> Tensor:
        """Scores (n, classes) of normalised images (n, 3, h, w)."""
        return self.head(self.backbone(images))

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Columns of predictions for a batch of test views: scores and probabilities."""
        scores = self.logits(batch["image"])
        return {"scores": scores, "probabilities": self.head.decode(scores)}

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (n, d) of normalised images: what heads with `fit` are fitted on."""
        return self.head.pool(self.backbone(images))

    def phases(self) -> Phases:
        """The optimizers of a step, in their order, each with the parameters it updates.

        Settings are keys of the recipe that differ for it, as {"rate": 0.001, "optimizer":
        {"name": "adamw"}}. `forward` is called with the name of each phase.
        """
        return {"": (self.parameters(), {})}

    def embedded(self, images: Tensor) -> Tensor:
        """What the loss compares of normalised images (n, d); it shows whether all look alike."""
        return self.features(images)

    def answers(self, images: Tensor) -> Tensor | None:
        """Shares (n, k) of classes that the loss compares of images in the place of `embedded`.

        Where it has such classes of its own: vectors may differ and all answers be alike.
        """
        return None

    def monitors(self) -> dict[str, float]:
        """Numbers of the present step that people look at, as the temperature of a teacher."""
        return {}

    def before_step(self, pace: Pace) -> None:
        """What follows a schedule is set here, in buffers: what is compiled stays as it is."""

    def before_update(self) -> None:
        """Changes to the whole gradient of a step, before it is clipped and goes to the weights."""

    def after_step(self, progress: float) -> None:
        """Updates between steps, as of a teacher; progress: the share of all steps, 0 to 1."""

    def export(self) -> dict[str, Tensor]:
        """Weights to keep, under `backbone.` and `head.`: not a teacher's, nor a queue."""
        kept = ("backbone.", "head.")
        return {name: t for name, t in self.state_dict().items() if name.startswith(kept)}
