"""Features of each sample, for heads that are fitted on those of a frozen backbone."""

from torch import Tensor, nn

from models.blocks.augment.draws import Draws

__all__ = ["Features"]


class Features:
    """(objective, batch, draws) -> pooled features (n, d) of a test view, and its targets."""

    def __call__(
        self, objective: nn.Module, batch: dict[str, Tensor], draws: Draws
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        view = objective.test_views(batch, draws)
        return {"features": objective.features(view["image"])}, objective.targets(view)
