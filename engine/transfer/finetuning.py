"""A network made for a task of few labels, from a pretrained backbone or from scratch.

Mahajan et al. 2018 (arXiv 1805.00932), section 3: the head of the pretraining is replaced. One that
has a method `fit` is fitted on the features of the frozen backbone, as logistic regression is and
nearest neighbours are; with any other the whole network is trained.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus.progress import Progress, unseen
from engine.core import checkpoint
from engine.core.batch import Batch
from engine.core.build import options, plugin
from engine.core.device import device
from engine.core.network import network
from engine.core.numerics import numerics
from engine.core.samples import Rows
from engine.training.distributed import present_workers
from engine.training.launching import launch
from engine.training.loop import initialise, train
from engine.training.meter import Diverged, Report
from engine.training.predicting import PLAIN, metric_of, policy_of, scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.splitting import workers_that_pay
from engine.transfer.freezing import freeze_layers
from engine.transfer.frozen import frozen_features
from engine.transfer.tuning import SCRATCH, WHERE, is_fitted, settings_text
from engine.transfer.weights import init_of, load_released


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

    `arm` is its {init, head, seed}, `settings` the hyper-parameters chosen; the section has the
    arm's backbone, the weights of its init (`weights`, or `released`: {file, format}), and the
    heads by name; `freeze`: see engine/transfer/freezing.py.

    state: folder that a killed training goes on from. Diverged names the arm and what to change.
    """
    if not is_fitted(head_section(section, arm)):
        return _train(samples, section, arm, settings, report, state, progress)
    module = _initial_network(samples, section, arm, settings)
    features, targets = frozen_features(module, samples), samples.column(module.target)
    with numerics():
        module.head.fit(features, targets.to(features.device))
    return module


def head_section(section: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """The section of an arm's head, whose name is that of the plug-in where it names no other."""
    return {"name": arm["head"]} | section["heads"][arm["head"]]


def arm_sections(
    section: Mapping[str, Any], arm: Mapping[str, Any], settings: dict[str, Any], samples: int
) -> dict[str, Any]:
    """Sections of the network that an arm ends with.

    settings: hyper-parameters, of the head where it is fitted. samples: that it is fitted on, for
    a head that keeps them.
    """
    head = head_section(section, arm)
    if is_fitted(head):
        head |= settings
    if "samples" in inspect.signature(plugin("heads", head["name"], "head")).parameters:
        head["samples"] = samples
    return {"backbone": section["backbone"], "objective": section["objective"], "head": head}


def _initial_network(
    samples: Rows, section: Mapping[str, Any], arm: Mapping[str, Any], settings: dict[str, Any]
) -> nn.Module:
    """A new network; if pretrained, every key of its backbone is the weights', the head is new."""
    built = arm_sections(section, arm, settings, len(samples))
    # before the network, whose layers draw their first weights from it
    initialise(arm["seed"])
    names = samples.shards.classes
    module = network(**built, classes=len(names), names=names)
    if arm["init"] != SCRATCH:
        _start(module.backbone, section)
    return module.to(device())


def _start(backbone: nn.Module, section: Mapping[str, Any]) -> None:
    """Every weight of the backbone is that of the section's pretraining, or of its file."""
    if section.get("released"):
        load_released(backbone, init_of(section["released"], "released"))
        return
    tensors, _ = checkpoint.load_tensors(section["weights"])
    checkpoint.load_weights(backbone, tensors, "backbone.")


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
    freeze_layers(module.backbone, section.get("freeze"))
    recipe = Recipe(**options(Recipe, section["recipe"] | settings, WHERE))
    heard = report if present_workers().first else no_report
    # what `faults` rebuilds the network of a step from
    built = arm_sections(section, arm, settings, len(samples))
    about = {"sections": built, "names": samples.shards.classes}
    given = recipe, section["epochs"], arm["seed"], state, heard, progress
    # a point of the learning curve per epoch: of few labels these are few steps
    often = max(1, min(Training.per_report, -(-len(samples) // recipe.batch)))
    train(module, samples, Training(*given, per_report=often, about=about))
    return module


def arm_name(arm: Mapping[str, Any]) -> str:
    """What an arm is called in messages: its values, joined."""
    return "-".join(str(value) for value in arm.values())


def arm_score(module: nn.Module, samples: Rows, section: Mapping[str, Any]) -> float:
    """The metric's headline of a network under the task's policy.

    Where only a head was fitted and the policy is the plain one, from the features that are kept.
    """
    metric = metric_of(section)
    if hasattr(module.head, "fit") and section["policy"] == PLAIN:
        predictions, targets = _from_features(module, samples)
        metric.update(predictions, targets)
    else:
        metric = scored(module, samples, metric, policy_of(section))
    return metric.compute()[metric.headline]


@numerics()
@torch.no_grad()
def _from_features(module: nn.Module, samples: Rows) -> tuple[Batch, Batch]:
    """What the plain policy would give, without a pass through the backbone."""
    features = frozen_features(module, samples)
    scores = module.head.classify(features)
    predictions = {"scores": scores, "probabilities": module.head.decode(scores)}
    return predictions, {module.target: samples.column(module.target).to(features.device)}
