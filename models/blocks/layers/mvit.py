"""torchvision's networks of clips; MViT at any size and of any blocks: its builders are of one.

Fan et al. 2021, "Multiscale Vision Transformers", arXiv 2104.11227; Li et al. 2022, "MViTv2:
Improved Multiscale Vision Transformers for Classification and Detection", arXiv 2112.01526.
"""

from typing import Any

import torch
from torch import nn

__all__ = ["clip_network"]

# of a new one, where nothing else is said: as version 2
SECOND = {
    "residual_pool": True,
    "residual_with_cls_embed": False,
    "rel_pos_embed": True,
    "proj_after_attn": True,
}


def clip_network(model: str, **settings: Any) -> nn.Module:
    """The network of a name of torchvision's, or of `mvit` or `swin3d`, its classes themselves."""
    from torchvision.models import get_model
    from torchvision.models.video import SwinTransformer3d

    if model.startswith("mvit"):
        return _sized_mvit(model, **settings)
    if model == "swin3d":
        return SwinTransformer3d(**settings)
    return get_model(model, weights=None, **settings)


def _sized_mvit(model: str, **settings: Any) -> nn.Module:
    """A network of `mvit_v1_b` or `mvit_v2_s` at another size; `mvit`: of blocks that are given.

    settings: arguments of torchvision's MViT, spatial_size and temporal_size among them; blocks,
    `block_setting`, as dictionaries.
    """
    from torchvision.models.video import MViT
    from torchvision.models.video.mvit import MSBlockConfig

    known = SECOND if model == "mvit" else _published(model)
    settings = known | settings
    blocks = [MSBlockConfig(**each) for each in settings.pop("block_setting", [])]
    return MViT(block_setting=blocks, **settings)


def _published(model: str) -> dict[str, Any]:
    """What torchvision's builder gives its class, read from what comes out."""
    from torchvision.models import get_model

    with torch.device("meta"):
        blocks = get_model(model, weights=None).blocks
    last = blocks[-1]
    return {
        "block_setting": list(map(_sizes, blocks)),
        "residual_pool": last.attn.residual_pool,
        "residual_with_cls_embed": last.attn.residual_with_cls_embed,
        "rel_pos_embed": last.attn.rel_pos_h is not None,
        "proj_after_attn": last.proj_after_attn,
        "stochastic_depth_prob": last.stochastic_depth.p,
    }


def _sizes(block: nn.Module) -> dict[str, Any]:
    linear = [m for m in block.mlp if isinstance(m, nn.Linear)]
    found = {"num_heads": block.attn.num_heads}
    found["input_channels"] = block.norm1.normalized_shape[0]
    found["output_channels"] = linear[-1].out_features
    for name, pool in (("q", block.attn.pool_q), ("kv", block.attn.pool_k)):
        found[f"kernel_{name}"] = list(pool.pool.kernel_size) if pool else []
        found[f"stride_{name}"] = list(pool.pool.stride) if pool else []
    return found
