"""Tensors as safetensors files with their own metadata and checksum: never a pickle."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a safetensors file atomically: `path` is the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One metadata key only: safetensors writes several in no fixed order, and equal weights must be
    # equal bytes.
    about = json.dumps(
        {"about": metadata, "sha256": checksum(contiguous, metadata)}, sort_keys=True
    )
    data = safetensors.torch.save(contiguous, metadata={"tagdag": about})
    # not save_file: its errors are no OSError, even on a full disk
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        # or a power cut could leave the new name with nothing in it
        os.fsync(file.fileno())
    # a rename happens or does not: a kill leaves the old file or the new one
    partial.replace(path)


def checksum(tensors: Mapping[str, Tensor], metadata: dict[str, Any]) -> str:
    """SHA-256 of the metadata and of names, types, shapes and values of tensors.

    Where and in which layout they lie in memory does not matter.
    """
    sum_ = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sum_.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # as bytes, for numpy knows no bfloat16; flat, for a single number has no axis to view so
        sum_.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return sum_.hexdigest()


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file written by `save`.

    ValueError with cause and fix for any other or changed file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {})["tagdag"])
            # safe_open is no dictionary: only its keys() can be iterated over
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if checksum(tensors, head["about"]) != head["sha256"]:
            raise KeyError("its checksum is another")
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a weight file of tagdag, or damaged ({error}): "
            "delete it and run the stage again"
        ) from error
    return tensors, head["about"]


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
    """Copy the tensors below `prefix` into the module.

    ValueError lists the keys unless every one matches.
    """
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    _must_fit(module.state_dict(), weights)
    module.load_state_dict(weights)


def load_export(objective: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy what `export` gave into an objective; what it does not export stays as it is new.

    ValueError as `load_weights`.
    """
    _must_fit(objective.export(), tensors)
    objective.load_state_dict(tensors, strict=False)


def _must_fit(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """ValueError unless names and shapes are the same."""
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += sorted(
        k for k in expected.keys() & weights.keys() if expected[k].shape != weights[k].shape
    )
    if wrong:
        raise ValueError(
            f"weights do not fit the network in {len(wrong)} keys ({', '.join(wrong[:8])}): "
            "build it from the section they were trained with"
        )
