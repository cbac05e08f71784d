"""One test view of each sample, asked once: how classification is measured."""

from torch import Tensor, nn

from models.blocks.augment.draws import Draws

__all__ = ["Plain"]


class Plain:
    """(objective, batch, draws) -> what the objective predicts of a test view, and its targets.

    Predictions: the columns that `predict` gives, as scores (n, classes). Targets: the view's
    columns but for those that the network sees.
    """

    def __call__(
        self, objective: nn.Module, batch: dict[str, Tensor], draws: Draws
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        view = objective.test_views(batch, draws)
        return objective.predict(view), objective.targets(view)
