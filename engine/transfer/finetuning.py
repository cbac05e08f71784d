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
from engine.training.splitting import workers_that_pay
from engine.transfer.frozen import frozen_features
from engine.transfer.probe import logistic_regression
from engine.transfer.tuning import WHERE, settings_text
from metrics.accuracy import Accuracy
from models.blocks.ranges import Least


def no_report(values: dict[str, float], iteration: int) -> None:
    """A report that nobody reads; unlike a lambda it can be handed to other processes."""


def fit_arm(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report = no_report,
    state: Path | None = None,
    progress: Progress = unseen,
) -> nn.Module:
    """One network fitted to the samples.

    `arm` is its {init, mode, seed}, `settings` the hyper-parameters chosen.

    state: folder that a killed training goes on from. Diverged names the arm and what to change.
    """
    if arm["mode"] == "full":
        return _train(samples, section, arm, settings, report, state, progress)
    module = _initial_network(samples, section, arm, settings)
    if arm["mode"] == "linear":
        probe(module, samples, **options(probe, settings, WHERE, ("module", "samples")))
    else:
        module.head.keep(*frozen_features(module, samples))
    return module


def arm_sections(
    section: Mapping[str, Any], mode: str, settings: dict[str, Any], samples: int
) -> dict[str, Any]:
    """Sections of the network that a mode ends with: that of neighbours has its own head."""
    head = section["head"]
    if mode == "knn":
        head = {"name": "knn", "samples": samples} | settings
    return network_sections(section) | {"head": head}


def _initial_network(
    samples: Rows, section: Mapping[str, Any], arm: Mapping[str, Any], settings: dict[str, Any]
) -> nn.Module:
    """A new network; if pretrained, every key of its backbone is the weights', the head is new."""
    built = arm_sections(section, arm["mode"], settings, len(samples))
    # before the network, whose layers draw their first weights from it
    initialise(arm["seed"])
    module = network(**built, classes=len(samples.shards.names))
    if arm["init"] == "pretrained":
        tensors, _ = checkpoint.load_tensors(section["weights"])
        checkpoint.load_weights(module.backbone, tensors, "backbone.")
    return module.to(device())


def _train(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report,
    state: Path | None,
    progress: Progress,
) -> nn.Module:
    """The whole network trained, by as many workers as pay where a state is kept."""
    arguments = (samples, dict(section), dict(arm), settings, report, state)
    recipe = Recipe(**options(Recipe, section["recipe"] | settings, WHERE))
    try:
        # without a state this process could not take over what the workers have learnt
        count = workers_that_pay(recipe, len(samples), section["epochs"]) if state else 1
        if count > 1:
            launch(count, _train_as_worker, *arguments)
        # after workers, who leave the finished state, this takes that up
        return _train_here(*arguments, progress)
    except Diverged as error:
        chosen = f" with {settings_text(settings)}" if settings else ""
        raise Diverged(
            f"{arm_name(arm)}{chosen}: {error}, or list no such value in {WHERE}"
        ) from None


def _train_as_worker(*arguments: Any) -> None:
    """What each of several workers does; they leave the finished state for `_train`."""
    _train_here(*arguments)


def _train_here(
    samples: Rows,
    section: Mapping[str, Any],
    arm: Mapping[str, Any],
    settings: dict[str, Any],
    report: Report,
    state: Path | None,
    progress: Progress = unseen,
) -> nn.Module:
    """Trained as one of the present workers, from the last checkpoint on."""
    module = _initial_network(samples, section, arm, settings)
    recipe = Recipe(**options(Recipe, section["recipe"] | settings, WHERE))
    heard = report if present_workers().first else no_report
    # what `faults` rebuilds the network of a step from
    built = arm_sections(section, arm["mode"], settings, len(samples))
    about = {"sections": built, "names": samples.shards.names}
    given = recipe, section["epochs"], arm["seed"], state, heard, progress
    # a point of the learning curve per epoch: of few labels these are few steps
    often = max(1, min(Training.per_report, -(-len(samples) // recipe.batch)))
    train(module, samples, Training(*given, per_report=often, about=about))
    return module


@numerics()
def probe(module: nn.Module, samples: Rows, l2: Least = 0.01) -> None:
    """Replace the head's weights by the logistic regression on the frozen features of the samples.

    l2: weight of the squared norm in the loss.
    """
    classes = module.head.fc.out_features
    weight, bias = logistic_regression(*frozen_features(module, samples), classes, l2)
    with torch.no_grad():
        module.head.fc.weight.copy_(weight)
        module.head.fc.bias.copy_(bias)


def arm_name(arm: Mapping[str, Any]) -> str:
    """What an arm is called in messages: its values, joined."""
    return "-".join(str(value) for value in arm.values())


@numerics()
@torch.no_grad()
def arm_top1(module: nn.Module, samples: Rows, mode: str) -> float:
    """Accuracy in percent; where only a head was fitted, from the features that are kept."""
    if mode == "full":
        return measure_accuracy(module, samples).compute()["top1"]
    pooled, labels = frozen_features(module, samples)
    metric = Accuracy()
    metric.update({"scores": module.head.classify(pooled)}, {"label": labels})
    return metric.compute()["top1"]
