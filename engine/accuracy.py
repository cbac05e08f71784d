"""How well a network predicts: the accuracy metric, fed with every sample."""

from torch import nn

from engine.loop import Samples, predict
from metrics.accuracy import Accuracy


def accuracy(module: nn.Module, samples: Samples) -> Accuracy:
    """The metric after all samples, in their order; of an image with several hashtags, any is a hit."""
    metric = Accuracy()
    for scores, targets in predict(module, samples):
        metric.update(scores, targets)
    return metric
