"""A network made for a target set of few labels, from a pretrained backbone or from scratch.

Mahajan et al. 2018 (arXiv 1805.00932), section 3: `full` replaces the hashtag layer and trains the
whole network; `linear` fits L2-regularised logistic regression on the frozen features. `knn` lets
the nearest labels vote on them (Wu et al. 2018, arXiv 1805.01978).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus.progress import Progress, unseen
from engine.core import checkpoint
from engine.core.build import options
from engine.core.device import device
from engine.core.network import network, network_sections
from engine.core.numerics import numerics
from engine.core.samples import Rows
from engine.training.accuracy import measure_accuracy
from engine.training.distributed import present_workers
from engine.training.launching import launch
from engine.training.loop import initialise, train
from engine.training.meter import Diverged, Report
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.splitting import worker_count
from engine.transfer.frozen import frozen_features
from engine.transfer.probe import logistic_regression
from engine.transfer.tuning import WHERE, settings_text
from metrics.accuracy import Accuracy
from models.blocks.ranges import Least


def no_report(values: dict[str, float], iteration: int) -> None:
    """A report that nobody reads; unlike a lambda it can be handed to other processes."""


def arm_sections(
    section: Mapping[str, Any], mode: str, settings: dict[str, Any], samples: int
) -> dict[str, Any]:
    """Sections of the network that a mode ends with: that of neighbours has its own head."""
    head = {"name": "knn", "samples": samples} | settings if mode == "knn" else section["head"]
    return network_sections(section) | {"head": head}


def initial_network(
    built: dict[str, Any], classes: int, weights: Path | None, seed: int
) -> nn.Module:
    """A new network; with weights, every key of its backbone is theirs, and the head is new."""
    initialise(seed)
    module = network(**built, classes=classes)
    if weights is not None:
        checkpoint.load_weights(module.backbone, checkpoint.load_tensors(weights)[0], "backbone.")
    return module.to(device())


@numerics()
def probe(module: nn.Module, samples: Rows, l2: Least = 0.01) -> None:
    """Replace the head's weights by the logistic regression on the frozen features of the samples.

    l2: weight of the squared norm in the loss.
    """
    weight, bias = logistic_regression(
        *frozen_features(module, samples), module.head.fc.out_features, l2
    )
    with torch.no_grad():
        module.head.fc.weight.copy_(weight)
        module.head.fc.bias.copy_(bias)


def arm_name(arm: Mapping[str, Any]) -> str:
    """What an arm is called in messages: its values, joined."""
    return "-".join(str(value) for value in arm.values())


def train_arm(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report = no_report,
    state: Path | None = None,
    progress: Progress = unseen,
) -> nn.Module:
    """The whole network trained on the samples, as one of the present workers.

    It goes on from its last checkpoint.
    """
    built = arm_sections(section, arm["mode"], settings, len(samples))
    weights = section["weights"] if arm["init"] == "pretrained" else None
    names = samples.shards.names
    module = initial_network(built, len(names), weights, arm["seed"])
    recipe = Recipe(**options(Recipe, section["recipe"] | settings, WHERE))
    heard = report if present_workers().first else no_report
    about = {"sections": built, "names": names}  # what `faults` rebuilds the network of a step from
    training = Training(recipe, section["epochs"], arm["seed"], state, heard, progress, about=about)
    train(module, samples, training)
    return module


def train_arm_together(*given: Any) -> None:
    """What each of several workers does; they leave the finished state for `trained`."""
    train_arm(*given)


def train_arm_alone_or_split(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report,
    state: Path | None,
    progress: Progress,
) -> nn.Module:
    """`learned`, by as many workers as `split` says where a state is kept.

    Diverged names the arm.
    """
    given = (samples, dict(section), dict(arm), settings, report, state)
    recipe = Recipe(**options(Recipe, section["recipe"] | settings, WHERE))
    try:
        count = worker_count(recipe, len(samples), section["epochs"]) if state else 1
        if count > 1:
            launch(count, train_arm_together, *given)
        return train_arm(*given, progress)
    except Diverged as error:
        chosen = f" with {settings_text(settings)}" if settings else ""
        raise Diverged(
            f"{arm_name(arm)}{chosen}: {error}, or list no such value in {WHERE}"
        ) from None


def fit_arm(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report = no_report,
    state: Path | None = None,
    progress: Progress = unseen,
) -> nn.Module:
    """One network trained on the samples.

    `arm` is its {init, mode, seed}, `settings` the hyper-parameters chosen.

    state: folder that a killed training goes on from. Diverged names the arm and what to change.
    """
    if arm["mode"] == "full":
        return train_arm_alone_or_split(samples, section, arm, settings, report, state, progress)
    built = arm_sections(section, arm["mode"], settings, len(samples))
    weights = section["weights"] if arm["init"] == "pretrained" else None
    module = initial_network(built, len(samples.shards.names), weights, arm["seed"])
    if arm["mode"] == "linear":
        probe(module, samples, **options(probe, settings, WHERE, ("module", "samples")))
    else:
        module.head.keep(*frozen_features(module, samples))
    return module


@numerics()
@torch.no_grad()
def arm_top1(module: nn.Module, samples: Rows, mode: str) -> float:
    """Accuracy in percent; where only a head was fitted, from the features that are kept."""
    if mode == "full":
        return measure_accuracy(module, samples).compute()["top1"]
    pooled, labels = frozen_features(module, samples)
    metric = Accuracy()
    metric.update(module.head.classify(pooled), labels)
    return metric.compute()["top1"]
