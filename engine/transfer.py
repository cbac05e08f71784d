"""A network made for a target set of few labels, from a pretrained backbone or from scratch.

Mahajan et al. 2018 (arXiv 1805.00932), section 3: `full` replaces the hashtag layer and trains the whole network;
`linear` fits L2-regularised logistic regression on the frozen features. `knn` lets the nearest labels vote on them (Wu
et al. 2018, arXiv 1805.01978).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine import checkpoint
from engine.accuracy import accuracy
from engine.build import options
from engine.frozen import features
from engine.network import network, parts
from engine.numerics import numerics
from engine.probe import logistic_regression
from engine.samples import Rows
from engine.training.distributed import device
from engine.training.loop import initialise, train
from engine.training.meter import Report
from engine.training.plan import Training
from engine.training.recipe import Recipe
from engine.tuning import WHERE
from metrics.accuracy import Accuracy


def sections(section: Mapping[str, Any], mode: str, settings: dict[str, Any], samples: int) -> dict[str, Any]:
    """The sections of the network that a mode ends with: that of neighbours has a head of its own."""
    head = {"name": "knn", "samples": samples} | settings if mode == "knn" else section["head"]
    return parts(section) | {"head": head}


def started(built: dict[str, Any], classes: int, weights: Path | None, seed: int) -> nn.Module:
    """A new network; with weights its backbone is theirs, every key of it, and only the head is new."""
    initialise(seed)
    module = network(**built, classes=classes)
    if weights is not None:
        checkpoint.load_weights(module.backbone, checkpoint.load(weights)[0], "backbone.")
    return module.to(device())


@numerics()
def probe(module: nn.Module, samples: Rows, l2: float = 0.01) -> None:
    """Replace the head's weights by the logistic regression on the frozen features of the samples."""
    weight, bias = logistic_regression(*features(module, samples), module.head.fc.out_features, l2)
    with torch.no_grad():
        module.head.fc.weight.copy_(weight)
        module.head.fc.bias.copy_(bias)


def trained(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report = lambda values, iteration: None,
    state: Path | None = None,
) -> nn.Module:
    """One network trained on the samples; `arm` is its {init, mode, seed}, `settings` the hyper-parameters chosen."""
    built = sections(section, arm["mode"], settings, len(samples))
    weights = section["weights"] if arm["init"] == "pretrained" else None
    module = started(built, len(samples.shards.names), weights, arm["seed"])
    if arm["mode"] == "full":
        recipe = Recipe(**options(Recipe, section["recipe"] | settings, WHERE))
        train(module, samples, Training(recipe, section["epochs"], arm["seed"], state, report))
    elif arm["mode"] == "linear":
        probe(module, samples, **options(probe, settings, WHERE, ("module", "samples")))
    else:
        module.head.keep(*features(module, samples))
    return module


@numerics()
@torch.no_grad()
def top1(module: nn.Module, samples: Rows, mode: str) -> float:
    """Accuracy in percent; where only a head was fitted, from the features that are kept."""
    if mode == "full":
        return accuracy(module, samples).compute()["top1"]
    pooled, labels = features(module, samples)
    metric = Accuracy()
    metric.update(module.head.classify(pooled), labels)
    return metric.compute()["top1"]
