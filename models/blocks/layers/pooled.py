"""What heads are made of that classify by the mean of the last feature map."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Pooled"]


class Pooled(nn.Module):
    """features, the last (n, channels[-1], *space) -> predictions (n, classes) by `classify`."""

    def pool(self, features: Sequence[Tensor]) -> Tensor:
        """Global average (n, channels[-1]): what a probe may compute once and keep."""
        last = features[-1]
        return last.mean(tuple(range(2, last.ndim)))

    def classify(self, pooled: Tensor) -> Tensor:
        """Predictions (n, classes) of pooled features."""
        raise NotImplementedError

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.classify(self.pool(features))
