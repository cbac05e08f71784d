"""Features of frozen backbones: what heads are fitted on that need no training of the whole.

Kept in memory; in a folder too where `keep_in` names one, so that arms in several processes compute
them once.
"""

import fcntl
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.core import checkpoint
from engine.core.build import build
from engine.core.checkpoint import checksum
from engine.core.device import device
from engine.core.digest import digest
from engine.core.mixed import Mixed
from engine.core.network import pixels_read
from engine.core.samples import Rows
from engine.training.predicting import predicted

# splits: training and validation images, seen by a pretrained backbone and by those of three seeds
KEPT = 8
_kept: dict[tuple, Tensor] = {}
_folder: Path | None = None


def keep_in(folder: Path | None) -> None:
    """Share features with other processes in files of this folder from now on; None: no longer."""
    global _folder
    _folder = folder


def frozen_features(module: nn.Module, samples: Rows | Mixed) -> Tensor:
    """Pooled features (n, d).

    Computed once per weights, split and size, and always for a whole split.
    """
    if isinstance(samples, Mixed):
        return torch.cat([frozen_features(module, part) for part in samples.parts])
    shards = samples.shards
    # what the features depend on: weights, pooling, images and their size
    weights = checksum(module.backbone.state_dict(), {})
    images = digest(shards.folder / "index.parquet")
    key = (weights, type(module.head).pool, images, shards.split, samples.size)
    if module.column != "image":
        # of videos, which frames and how many pixels of them
        size = samples.size or shards.size
        key += (repr(pixels_read(samples.reads)), repr(module.input_shape(size)))
    if key not in _kept:
        # the oldest goes: dictionaries keep the order of insertion
        if len(_kept) == KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = _shared(module, samples, key)
    where = torch.arange(len(samples)) if samples.rows is None else samples.rows
    return _kept[key][where].to(device())


def _shared(module: nn.Module, samples: Rows, key: tuple) -> Tensor:
    """Features of a whole split from the folder.

    Others wait while this process computes what it lacks.
    """
    if _folder is None:
        return _computed(module, samples)
    _folder.mkdir(parents=True, exist_ok=True)
    weights, pool, *rest = key
    file = (
        _folder / f"{digest(weights, f'{pool.__module__}.{pool.__qualname__}', *rest)}.safetensors"
    )
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # which the kernel drops when its process dies
        # with the lock, for whoever had it before may have written the file
        if not file.exists():
            checkpoint.save_tensors(file, {"features": _computed(module, samples)}, {})
    return checkpoint.load_tensors(file)[0]["features"]


def _computed(module: nn.Module, samples: Rows) -> Tensor:
    # all rows: their last bits must not depend on which ones were asked for first
    images = replace(samples, rows=None, reads=pixels_read(samples.reads))
    found = predicted(module, images, build("policies", {"name": "features"}))
    return torch.cat([predictions["features"].cpu() for _, predictions, _ in found])
