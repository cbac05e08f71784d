"""Weights and resumable training state as safetensors files with their own metadata: never a pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn


def save(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a safetensors file atomically: whoever reads `path` finds the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    # One metadata key only: safetensors writes several in no fixed order, and equal weights must be equal bytes.
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(contiguous, metadata={"tagdag": json.dumps(metadata, sort_keys=True)})
    with partial.open("wb") as file:  # not save_file: its errors are no OSError, even on a full disk
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file written by `save`; ValueError with cause and fix for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["tagdag"])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"{path} is not a weight file of tagdag ({error}): delete it and run the stage again"
        ) from error


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
    """Copy the tensors below `prefix` into the module; ValueError lists the keys unless every one matches."""
    weights = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    expected = module.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += sorted(k for k in expected.keys() & weights.keys() if expected[k].shape != weights[k].shape)
    if wrong:
        raise ValueError(
            f"weights do not fit the network in {len(wrong)} keys ({', '.join(wrong[:8])}): "
            "build it from the section they were trained with"
        )
    module.load_state_dict(weights)


def save_training(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, iteration: int) -> None:
    """Everything that a killed run needs to go on as if it had not been killed."""
    state = optimizer.state_dict()["state"]
    tensors = {f"optimizer.{i}.{k}": v for i, s in state.items() for k, v in s.items() if isinstance(v, Tensor)}
    tensors |= {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    save(path, tensors, {"iteration": iteration})


def load_training(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore what `save_training` wrote; returns the iteration to go on with."""
    tensors, metadata = load(path)
    load_weights(module, tensors, "module.")
    state = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name in (n for n in tensors if n.startswith("optimizer.")):
        _, index, key = name.split(".", 2)
        like = parameters[int(index)].detach()
        assert tensors[name].shape == like.shape, f"{name} is no buffer of its parameter"
        # fused SGD pairs elements by their place in memory, and files are contiguous where networks are channels last
        state["state"].setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensors[name])
    optimizer.load_state_dict(state)
    return metadata["iteration"]
