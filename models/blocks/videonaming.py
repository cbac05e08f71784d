"""What other libraries call the tensors of networks of clips: names, and no weight is changed.

Each name here is read as a part of a network, such as the norm behind the second convolution of a
block, and written as the library calls that part.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from models.blocks.naming import Rule, named_by

__all__ = ["pyslowfast_names", "pytorchvideo_names", "videoresnet_name"]

STATES = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
STEM = re.compile(rf"stem\.(?:(slow|fast)\.)?(\d)\.{STATES}")
LATERAL = re.compile(rf"stages\.(\d+)\.0\.(lateral)\.([01])\.{STATES}")
EMBEDDING = re.compile(rf"embedding\.(expand\.0|expand\.1|project\.0)\.{STATES}")
BLOCK = re.compile(
    rf"stages\.(\d+)\.(\d+)\.(?:(slow|fast)\.)?(transform|shortcut|after)\.([\w.]+?)\.{STATES}"
)
# place in `transform`: of a bottleneck, and of one whose units are modules of their own
FLAT = {"0": "a", "1": "a_norm", "3": "b", "4": "b_norm", "6": "c", "7": "c_norm"}
UNITS = {"0.0": "a", "0.1": "a_norm", "1.0": "b", "1.1": "b_norm", "2.0": "c", "2.1": "c_norm"}
SPLIT = {"1.0.0": "b_time", "1.0.1": "b_middle", "1.0.3": "b_space"}
GATED = {"5.gate.0": "squeeze", "5.gate.2": "excite", "7": "c", "8": "c_norm"}


class Part(NamedTuple):
    """A tensor: of which layer, in which block of which stage, and on which pathway of two."""

    layer: str
    state: str
    stage: int = 0
    block: int = 0
    path: str | None = None


def _part(key: str, keys: Mapping[str, Any]) -> Part | None:
    """The part of a network that a name here is of; None for none that others have."""
    found = STEM.fullmatch(key)
    if found:
        return Part(f"stem{found[2]}", found[3], path=found[1])
    found = LATERAL.fullmatch(key)
    if found:
        return Part(f"lateral{found[3]}", found[4], int(found[1]))
    found = EMBEDDING.fullmatch(key)
    if found:
        return Part(found[1], found[2])
    found = BLOCK.fullmatch(key)
    if not found:
        return None
    layer = f"{found[4]}.{found[5]}"
    if found[4] == "transform":
        layer = _layer(key.partition(".transform.")[0], found[5], keys)
    return Part(layer, found[6], int(found[1]), int(found[2]), found[3]) if layer else None


def _layer(block: str, place: str, keys: Mapping[str, Any]) -> str | None:
    """Of a place in a bottleneck's `transform`."""
    if f"{block}.transform.0.weight" not in keys:
        if f"{block}.transform.2.0.weight" not in keys:
            return None  # a block of two convolutions, which these libraries have not
        return (UNITS | SPLIT).get(place)
    gated = f"{block}.transform.5.gate.0.weight" in keys
    return (FLAT | GATED if gated else FLAT).get(place)


def _pyslowfast(key: str, keys: Mapping[str, Any], stem: Mapping[str, str]) -> str | None:
    found = _part(key, keys)
    if found is None:
        return None
    head = {"expand.0": "conv_5", "expand.1": "conv_5_bn", "project.0": "lin_5"}
    lateral = {"lateral0": "conv_f2s", "lateral1": "bn"}
    path = f"pathway{int(found.path == 'fast')}_"
    if found.layer in stem:
        return f"s1.{path}stem.{stem[found.layer]}.{found.state}"
    if found.layer in head:
        return f"head.{head[found.layer]}.{found.state}"
    if found.layer in lateral:
        return f"s{found.stage + 1}_fuse.{lateral[found.layer]}.{found.state}"
    inner = {f"after.{name}": layer for name, layer in NONLOCAL.items()}
    if found.layer in inner:
        return f"s{found.stage + 2}.{path}nonlocal{found.block}.{inner[found.layer]}.{found.state}"
    layer = PYSLOWFAST.get(found.layer)
    return f"s{found.stage + 2}.{path}res{found.block}.{layer}.{found.state}" if layer else None


NONLOCAL = {"queries": "conv_theta", "keys": "conv_phi", "values": "conv_g"}
NONLOCAL |= {"project": "conv_out", "norm": "bn"}
PYSLOWFAST = {"shortcut.0": "branch1", "shortcut.1": "branch1_bn"}
PYSLOWFAST |= {"squeeze": "branch2.se.fc1", "excite": "branch2.se.fc2"}
PYSLOWFAST |= {name: f"branch2.{name}" for name in "abc"}
PYSLOWFAST |= {f"{name}_norm": f"branch2.{name}_bn" for name in "abc"}


def _pytorchvideo(
    key: str, keys: Mapping[str, Any], stem: Mapping[str, str], pool: int, norm_b: str
) -> str | None:
    """pool: blocks without weights between the first stage and the others."""
    found = _part(key, keys)
    if found is None:
        return None
    head = {"expand.0": "pre_conv", "expand.1": "pre_norm", "project.0": "post_conv"}
    lateral = {"lateral0": "conv_fast_to_slow", "lateral1": "norm"}
    path = f"multipathway_blocks.{int(found.path == 'fast')}." if found.path else ""
    if found.layer in stem:
        return f"blocks.0.{path}{stem[found.layer]}.{found.state}"
    if found.layer in lateral:
        return f"blocks.{found.stage}.multipathway_fusion.{lateral[found.layer]}.{found.state}"
    if found.layer in head:
        last = max(int(name.split(".")[1]) for name in keys if name.startswith("stages."))
        return f"blocks.{last + 2}.pool.{head[found.layer]}.{found.state}"
    layer = (PYTORCHVIDEO | {"b_norm": f"branch2.{norm_b}"}).get(found.layer)
    block = found.stage + 1 + (pool if found.stage else 0)
    place = f"blocks.{block}.{path}res_blocks.{found.block}"
    return f"{place}.{layer}.{found.state}" if layer else None


PYTORCHVIDEO = {"shortcut.0": "branch1_conv", "shortcut.1": "branch1_norm"}
PYTORCHVIDEO |= {name: f"branch2.conv_{name}" for name in "abc"}
PYTORCHVIDEO |= {f"{name}_norm": f"branch2.norm_{name}" for name in "ac"}
PYTORCHVIDEO |= {"b_time": "branch2.conv_b.conv_t", "b_space": "branch2.conv_b.conv_xy"}
PYTORCHVIDEO |= {"b_middle": "branch2.conv_b.norm"}
PYTORCHVIDEO |= {"squeeze": "branch2.norm_b.1.block.0", "excite": "branch2.norm_b.1.block.2"}


def pyslowfast_names(backbone: nn.Module) -> dict[str, str]:
    """Name here: name in PySlowFast, of every tensor; ValueError as `named_by`."""
    plain, x3d = {"stem0": "conv", "stem1": "bn"}, {"stem0": "conv_xy", "stem1": "conv"}
    rules: dict[str, Rule] = {
        "ResNet3d": partial(_pyslowfast, stem=plain),
        "SlowFast": partial(_pyslowfast, stem=plain),
        "X3D": partial(_pyslowfast, stem=x3d | {"stem2": "bn"}),
    }
    return named_by(backbone, rules, "PySlowFast")


def pytorchvideo_names(backbone: nn.Module) -> dict[str, str]:
    """Name here: name in PyTorchVideo, of every tensor; ValueError as `named_by`."""
    pool = int(getattr(backbone, "time_pool", False))
    plain = partial(
        _pytorchvideo, stem={"stem0": "conv", "stem1": "norm"}, pool=pool, norm_b="norm_b"
    )
    # in X3D's stem it calls the convolution over space that over time, and the other way round
    x3d = {"stem0": "conv.conv_t", "stem1": "conv.conv_xy", "stem2": "norm"}
    rules: dict[str, Rule] = dict.fromkeys(("ResNet3d", "SlowFast", "CSN", "VideoResNet"), plain)
    rules["X3D"] = partial(_pytorchvideo, stem=x3d, pool=0, norm_b="norm_b.0")
    return named_by(backbone, rules, "PyTorchVideo")


def videoresnet_name(key: str, _: Mapping[str, Any]) -> str | None:
    """Of R3D, MC3, R(2+1)D and CSN in torchvision, whose names VMZ has kept."""
    if STEM.fullmatch(key):
        return key
    found = BLOCK.fullmatch(key)
    if not found or found[4] == "after":
        return None
    block = f"layer{int(found[1]) + 1}.{found[2]}"
    if found[4] == "shortcut":
        return f"{block}.downsample.{found[5]}.{found[6]}"
    unit, _, rest = found[5].partition(".")
    return f"{block}.conv{int(unit) + 1}.{rest}.{found[6]}" if rest else None
