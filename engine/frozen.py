"""Features of frozen backbones: what linear probes and nearest neighbours are fitted on.

Kept in memory rather than on disk: all arms of a stage that share a backbone run in one process, a feature is smaller
than the image it comes from, and what a kill loses is one forward pass.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from engine.checkpoint import checksum
from engine.digest import digest
from engine.samples import Rows
from engine.training.distributed import device
from engine.training.loop import predict

KEPT = 8  # splits: training and validation images, seen by a pretrained backbone and by those of three seeds
_kept: dict[tuple, Tensor] = {}


def features(module: nn.Module, samples: Rows) -> tuple[Tensor, Tensor]:
    """Pooled features (n, d) and labels (n,); computed once per weights, split and size, and always for a whole split.

    Whole, so that they do not depend, in their last bits, on who asked first.
    """
    shards = samples.shards
    key = (checksum(module.backbone.state_dict(), {}), type(module.head).pool, digest(shards.folder / "index.parquet"))
    key += (shards.split, samples.size)
    if key not in _kept:
        if len(_kept) == KEPT:
            del _kept[next(iter(_kept))]
        outputs = predict(module, replace(samples, rows=None), "features")
        _kept[key] = torch.cat([output.cpu() for output, _ in outputs])
    where = torch.arange(len(samples)) if samples.rows is None else samples.rows
    return _kept[key][where].to(device()), samples.targets(torch.arange(len(samples))).to(device())
