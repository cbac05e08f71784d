"""What a Learner is at a step, as tensors and plain values, and a Learner made that again.

Tensors are named `module.*` (the objective's), `average.*` and `optimizer.<its key>.<parameter>`.
"""

from typing import Any

import torch
from torch import Tensor

from engine.core.checkpoint import load_weights
from engine.training.step import Learner

# of a parameter group: what the recipe says, and is said anew
RECIPES = ("params", "lr", "weight_decay", "scale")


def learner_weights(learner: Learner, keep: bool) -> dict[str, Tensor]:
    """The objective's tensors: copies on the CPU, whole, for the workers that `keep` them.

    Where weights are sharded every worker has to call this.
    """
    tensors = learner.objective.state_dict()
    return {f"module.{name}": _copy(tensor, keep) for name, tensor in tensors.items()}


def learner_state(learner: Learner) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values to go on from, the tensors for the first worker to keep.

    Where weights are sharded every worker has to call this.
    """
    tensors: dict[str, Tensor] = {}
    if learner.average:
        for name, tensor in learner.average.tensors.items():
            tensors[f"average.{name}"] = tensor
    names = {id(parameter): name for name, parameter in learner.objective.named_parameters()}
    groups = []
    for phase in learner.phases:
        # a parameter is of one phase: its name tells whose state it is
        for parameter, state in phase.optimizer.state.items():
            for key, tensor in state.items():
                if isinstance(tensor, Tensor):
                    tensors[f"optimizer.{key}.{names[id(parameter)]}"] = tensor
        for group in phase.optimizer.param_groups:
            kept = {key: group[key] for key in group if key not in RECIPES}
            groups.append({key: _plain(value) for key, value in kept.items()})
    first = learner.workers.first
    copies = {name: _copy(tensor, first) for name, tensor in tensors.items()}
    about = {"groups": groups, "scaler": learner.scaler.state_dict()}
    return learner_weights(learner, first) | copies, about


def load_learner(learner: Learner, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Take up what `learner_state` gave.

    The number of workers, and whether weights are sharded, may be another.
    """
    weights = dict(tensors)
    for name, tensor in learner.objective.state_dict().items():
        key = f"module.{name}"
        if _split(tensor) and key in tensors:
            weights[key] = _like(tensors[key], tensor)
    load_weights(learner.objective, weights, "module.")
    if learner.average:
        for name, tensor in learner.average.tensors.items():
            tensor.copy_(_like(tensors[f"average.{name}"], tensor))
    groups = iter(about["groups"])  # of one phase after the other
    for phase in learner.phases:
        own = [next(groups) for _ in phase.optimizer.param_groups]
        _load_optimizer(learner, phase.optimizer, tensors, own)
    # empty where float16 was not used
    if about["scaler"]:
        learner.scaler.load_state_dict(about["scaler"])


def _load_optimizer(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    tensors: dict[str, Tensor],
    groups: list[dict],
) -> None:
    """By names; torch's own load_state_dict goes by the order of the parameters."""
    fused = optimizer.defaults.get("fused")
    updated = {id(each) for group in optimizer.param_groups for each in group["params"]}
    parameters = dict(learner.objective.named_parameters())
    # a new learner of float16 has momentum already (step.py)
    optimizer.state.clear()
    for name, tensor in tensors.items():
        if not name.startswith("optimizer."):
            continue
        # twice only: names of parameters have points of their own
        _, key, owner = name.split(".", 2)
        if id(parameters[owner]) not in updated:
            continue
        like = parameters[owner].detach()
        if tensor.shape == like.shape:
            # fused SGD pairs elements by their place in memory; files are contiguous, networks are
            # channels last
            tensor = _like(tensor, like)
        else:
            # a number: of steps. Fused optimizers count them on the device
            tensor = tensor.to(like.device if fused else "cpu")
        optimizer.state[parameters[owner]][key] = tensor
    for group, kept in zip(optimizer.param_groups, groups, strict=True):
        # how it computes is this device's matter, not that of the one before
        group |= {key: value for key, value in kept.items() if key not in ("fused", "foreach")}
    # as load_state_dict ends too: optimizers prepare there for what their groups say
    optimizer.__setstate__({"state": optimizer.state, "param_groups": optimizer.param_groups})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _split(tensor: Any) -> bool:
    """Whether it is a DTensor, whose import takes a second."""
    return hasattr(tensor, "full_tensor")


def _copy(tensor: Tensor, keep: bool) -> Tensor:
    """On the CPU, whole; all workers gather what is split, and only those that keep it copy it."""
    whole = tensor.detach()
    if _split(whole):
        whole = whole.full_tensor()
    if keep:
        # a copy on a CPU too: the next step writes into these tensors while a thread saves them
        return whole.to("cpu", copy=True)
    return whole[:0] if whole.ndim else whole


def _like(tensor: Tensor, like: Tensor) -> Tensor:
    """The values of a whole tensor in the memory format, the device and the shards of another."""
    if _split(like):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return torch.empty_like(like).copy_(tensor)
