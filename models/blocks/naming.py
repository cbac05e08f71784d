"""What other libraries call the tensors of the networks here: names, and no weight is changed."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

__all__ = ["Rule", "named_by", "resnet_sizes", "timm_names", "torchvision_names"]

# place in `transform` of a bottleneck or a pair of 3x3: convolution, norm, rectifier and so on
PLAIN = {0: "conv1", 1: "bn1", 3: "conv2", 4: "bn2", 6: "conv3", 7: "bn3"}
STATES = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
BLOCK = re.compile(rf"stages\.(\d+)\.(\d+)\.transform\.(\d+)\.(?:gate\.(\d)\.)?{STATES}")
SHORTCUT = re.compile(rf"stages\.(\d+)\.(\d+)\.shortcut\.([01])\.{STATES}")
STEM = re.compile(rf"stem\.([01])\.{STATES}")
LAST = re.compile(rf"stages\.(\d+)\.0\.([01])\.{STATES}")


def _resnet(key: str, _: Mapping[str, Any]) -> str | None:
    """Of ResNet and ResNeXt in torchvision, whose names timm and others have kept."""
    found = STEM.fullmatch(key)
    if found:
        return f"{('conv1', 'bn1')[int(found[1])]}.{found[2]}"
    found = SHORTCUT.fullmatch(key)
    if found:
        return f"layer{int(found[1]) + 1}.{found[2]}.downsample.{found[3]}.{found[4]}"
    found = BLOCK.fullmatch(key)
    if found and int(found[3]) in PLAIN and found[4] is None:
        return f"layer{int(found[1]) + 1}.{found[2]}.{PLAIN[int(found[3])]}.{found[5]}"
    return None


def _regnet(key: str, keys: Mapping[str, Any]) -> str | None:
    """Of RegNet in timm."""
    inner = ("conv", "bn")
    found = STEM.fullmatch(key)
    if found:
        return f"stem.{inner[int(found[1])]}.{found[2]}"
    found = SHORTCUT.fullmatch(key)
    if found:
        block = f"s{int(found[1]) + 1}.b{int(found[2]) + 1}"
        return f"{block}.downsample.{inner[int(found[3])]}.{found[4]}"
    found = BLOCK.fullmatch(key)
    if not found:
        return None
    block, place = f"s{int(found[1]) + 1}.b{int(found[2]) + 1}", int(found[3])
    if found[4]:
        return f"{block}.se.{'fc1' if found[4] == '0' else 'fc2'}.{found[5]}"
    # behind a squeeze-and-excitation all have moved by one
    place -= place > 6 and f"stages.{found[1]}.{found[2]}.transform.6.gate.0.weight" in keys
    number, part = divmod(place, 3)
    return f"{block}.conv{number + 1}.{inner[part]}.{found[5]}" if part < 2 else None


def _efficientnet(key: str, keys: Mapping[str, Any]) -> str | None:
    """Of EfficientNet in timm."""
    found = STEM.fullmatch(key)
    if found:
        return f"{('conv_stem', 'bn1')[int(found[1])]}.{found[2]}"
    found = LAST.fullmatch(key)
    if found:
        return f"{('conv_head', 'bn2')[int(found[2])]}.{found[3]}"
    found = BLOCK.fullmatch(key)
    if not found:
        return None
    block, place = f"blocks.{found[1]}.{found[2]}", int(found[3])
    if found[4]:
        return f"{block}.se.{'conv_reduce' if found[4] == '0' else 'conv_expand'}.{found[5]}"
    # of the first stage without the 1x1 that expands
    short = f"stages.{found[1]}.{found[2]}.transform.8.weight" not in keys
    names = {0: "conv_dw", 1: "bn1", 4: "conv_pw", 5: "bn2"}
    wide = {0: "conv_pw", 1: "bn1", 3: "conv_dw", 4: "bn2", 7: "conv_pwl", 8: "bn3"}
    part = (names if short else wide).get(place)
    return f"{block}.{part}.{found[5]}" if part else None


EMBEDDED = {  # of a vision transformer here: in timm, in torchvision
    "embedding.class_token": ("cls_token", "class_token"),
    "embedding.positions": ("pos_embed", "encoder.pos_embedding"),
    "embedding.stem.0.weight": ("patch_embed.proj.weight", "conv_proj.weight"),
    "embedding.stem.0.bias": ("patch_embed.proj.bias", "conv_proj.bias"),
    "norm.weight": ("norm.weight", "encoder.ln.weight"),
    "norm.bias": ("norm.bias", "encoder.ln.bias"),
}
# torchvision keeps queries, keys and values of its attention in one matrix, as here
INSIDE = {
    "norm1.": "ln_1.",
    "norm2.": "ln_2.",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj.": "self_attention.out_proj.",
    "mlp.fc1.": "mlp.0.",
    "mlp.fc2.": "mlp.3.",
}
TOKENS = re.compile(r"blocks\.(\d+)\.(\w+\.(?:\w+\.)?)(weight|bias)")


def _vit_timm(key: str, keys: Mapping[str, Any]) -> str | None:
    """Of a vision transformer of patches with a class token in timm."""
    if key in EMBEDDED:
        plain = "embedding.class_token" in keys and "embedding.stem.1.weight" not in keys
        return EMBEDDED[key][0] if plain else None
    return key if TOKENS.fullmatch(key) else None


def _vit_torchvision(key: str, keys: Mapping[str, Any]) -> str | None:
    """The same in torchvision."""
    found = TOKENS.fullmatch(key)
    if found and found[2] in INSIDE:
        return f"encoder.layers.encoder_layer_{found[1]}.{INSIDE[found[2]]}{found[3]}"
    return EMBEDDED[key][1] if _vit_timm(key, keys) and key in EMBEDDED else None


Rule = Callable[[str, Mapping[str, Any]], str | None]
RESNETS: dict[str, Rule] = {"ResNet": _resnet, "ResNeXt": _resnet, "ResNet3d": _resnet}
TORCHVISION = RESNETS | {"ViT": _vit_torchvision}
TIMM = RESNETS | {"RegNet": _regnet, "EfficientNet": _efficientnet, "ViT": _vit_timm}


def torchvision_names(backbone: nn.Module) -> dict[str, str]:
    """Name here: name in torchvision, of every tensor; ValueError as `named_by`."""
    return named_by(backbone, TORCHVISION, "torchvision")


def timm_names(backbone: nn.Module) -> dict[str, str]:
    """Name here: name in timm, of every tensor; ValueError as `named_by`."""
    return named_by(backbone, TIMM, "timm")


def named_by(backbone: nn.Module, rules: Mapping[str, Rule], library: str) -> dict[str, str]:
    """Name here: name there. A network of another library has kept its own.

    ValueError for a kind of network, or a part of one, that has no name there.
    """
    keys = backbone.state_dict()
    if hasattr(backbone, "library"):
        return {key: key.removeprefix("model.") for key in keys}
    kind = type(backbone).__name__
    if kind not in rules:
        known = ", ".join(name.lower() for name in rules)
        raise ValueError(f"{library} has no names for a {kind.lower()} (it has for: {known})")
    found = {key: rules[kind](key, keys) for key in keys}
    without = [key for key, name in found.items() if name is None]
    if without:
        raise ValueError(
            f"{library} has no names for {len(without)} tensors of this {kind.lower()} "
            f"({_listed(without)}), such as those of slots: only plain networks are the library's"
        )
    return found


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def resnet_sizes(section: Mapping[str, Any], library: str) -> dict[str, Any]:
    """{block, depths, groups, width} of a ResNet or ResNeXt that the library has too.

    width: channels per group of 64. ValueError with what is another there.
    """
    usual = {"depths": (3, 4, 6, 3), "block": "bottleneck", "cardinality": 1, "group_width": 64}
    if section["name"] == "resnext":
        usual |= {"cardinality": 32, "group_width": 4}
    plain = {"stem": "imagenet", "stem_stride": 2, "stem_width": 64, "width": 64}
    options = usual | plain | section
    wrong = [key for key, value in plain.items() if options[key] != value]
    wrong += ["block"] if options["block"] == "plain" else []
    wrong += ["the number of stages"] if len(options["depths"]) != 4 else []
    if wrong:
        raise ValueError(f"{library} has no such {section['name']}: {wrong[0]} is another there")
    depths, groups, width = options["depths"], options["cardinality"], options["group_width"]
    return {"block": options["block"], "depths": list(depths), "groups": groups, "width": width}
