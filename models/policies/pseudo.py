"""Pseudo-labels: the class that a network is surest of, and how sure it is.

Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks", equation 13; Yalniz et al. 2019, arXiv 1905.00546.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws

__all__ = ["Pseudo"]


class Pseudo:
    """(objective, batch, draws) -> {"label" or "tags", "soft", "confidence"}, no targets.

    label (n,): the likeliest class; tags (n, classes), of an objective of tags: those at least as
    probable as `threshold`. soft (n, classes): the probabilities. confidence (n,): of the label; of
    tags the mean of each answer's, yes or no.

    threshold: from which on a tag is true.
    """

    def __init__(self, threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> None:
        self.threshold = threshold

    def __call__(
        self, objective: nn.Module, batch: dict[str, Tensor], draws: Draws
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        predictions = objective.predict(objective.test_views(batch, draws))
        if "probabilities" not in predictions:
            raise ValueError(
                f"policy pseudo: a network of the objective {type(objective).__name__.lower()} "
                "gives no probabilities of classes: take a fine-tuned one"
            )
        soft = predictions["probabilities"].float()
        if objective.target == "tags":
            confidence = soft.maximum(1 - soft).mean(1)
            tags = (soft >= self.threshold).float()
            return {"tags": tags, "soft": soft, "confidence": confidence}, {}
        confidence, label = soft.max(1)
        return {"label": label, "soft": soft, "confidence": confidence}, {}
