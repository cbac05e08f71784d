"""How well a network predicts: the accuracy metric, fed with every sample."""

from torch import nn

from engine.training.distributed import team
from engine.training.loop import predict
from engine.training.reading import Samples
from metrics.accuracy import Accuracy


def accuracy(module: nn.Module, samples: Samples) -> Accuracy:
    """The metric after the test views of all samples, in their order; of an image with several hashtags, any is a hit.

    A pretext task is measured on its own targets: rotated images, puzzles or pixels are what is counted, as if those of
    one image were independent.
    Several workers predict a part each, and all have the whole metric.
    """
    metric, workers = Accuracy(), team()
    for scores, targets in predict(module, samples, rows=workers.part(len(samples))):
        metric.update(scores, targets)
    return workers.merged(metric)
