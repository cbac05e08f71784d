"""What heads are made of that classify by the mean of the last feature map."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Pooled"]


class Pooled(nn.Module):
    """features, the last (n, channels[-1], h, w) -> predictions (n, classes) by `classify`."""

    def pool(self, features: Sequence[Tensor]) -> Tensor:
        """Global average (n, channels[-1]): what a probe may compute once and keep."""
        return features[-1].mean((2, 3))

    def classify(self, pooled: Tensor) -> Tensor:
        """Predictions (n, classes) of pooled features."""
        raise NotImplementedError

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.classify(self.pool(features))
