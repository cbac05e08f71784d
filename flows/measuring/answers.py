"""What a network answers to labelled images, with the accuracy of the answers: one pass."""

import torch
from torch import nn

from engine.core.samples import Rows
from engine.training.accuracy import predicted
from flows.measuring.predictions import Predicted
from metrics.accuracy import Accuracy


def answered(module: nn.Module, samples: Rows) -> tuple[Accuracy, Predicted]:
    """The metric after all samples, and what was predicted of each, in their order."""
    metric, guess, score = Accuracy(), [], []
    for outputs, targets in predicted(module, samples):
        metric.update({"scores": outputs}, {"label": targets})
        # the metric's own choice among equal scores, which argmax need not make
        best = outputs.topk(min(max(metric.topk), outputs.shape[1])).indices[:, :1]
        guess.append(best[:, 0].cpu())
        score.append(outputs.float().softmax(1).gather(1, best)[:, 0].cpu())
    return metric, Predicted(torch.cat(guess).short().numpy(), torch.cat(score).numpy())
