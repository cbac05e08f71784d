"""Weights in the names of timm: of its own networks, and of four families here.

https://github.com/huggingface/pytorch-image-models. timm reads the files of other authors by a
filter of each family, which renames tensors and fits position embeddings to another image size.
"""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import resnet_sizes, timm_names

HASHED = True  # file names of its releases end in the first digits of the files' SHA-256
HEADS = ("fc.", "classifier.", "head.", "head_dist.", "last_linear.", "head_drop.")


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by their names, those of another author in timm's."""
    for wrap in ("state_dict_ema", "state_dict", "model_ema", "model"):
        if isinstance(tree.get(wrap), Mapping):
            tree = tree[wrap]
            break
    found = {key.removeprefix("module."): value for key, value in tree.items()}
    if getattr(backbone, "library", "") != "timm":
        return found
    filtered = getattr(import_module(type(backbone.model).__module__), "checkpoint_filter_fn", None)
    return dict(filtered(found, backbone.model)) if filtered else found


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor."""
    return timm_names(backbone)


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.startswith(HEADS)


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing: as timm's own table of weights says."""
    if getattr(backbone, "library", "") != "timm":
        return "fetch the state dict of timm's network of the same shape"
    about = backbone.model.pretrained_cfg
    hub = about.get("hf_hub_id")
    if hub and str(hub).endswith("/"):
        hub = f"{hub}{about.get('architecture')}.{about.get('tag')}"
    if hub:
        return f"fetch model.safetensors of {hub} on the hub of models"
    return f"fetch {about.get('url') or 'the weights of ' + backbone.name}"


def twin(backbone: nn.Module, section: Mapping[str, Any]) -> nn.Module:
    """The library's own network without its classifier: images -> (n, channels).

    ValueError where it has none of this shape.
    """
    if hasattr(backbone, "library"):
        if backbone.library != "timm":
            raise ValueError(f"{backbone.library}'s {backbone.name} has no names of timm")
        return _again(backbone, section)
    import timm

    if section["name"] == "vit":
        return timm.models.vision_transformer.VisionTransformer(**vit_sizes(section))
    if section["name"] == "regnet":
        return timm.models.regnet.RegNet(_regnet_sizes(section), num_classes=0)
    if section["name"] in ("resnet", "resnext"):
        return _resnet(section)
    wanted = sorted(value.shape for value in backbone.state_dict().values())
    for name in timm.list_models("efficientnet_b?"):
        made = _shaped(name, wanted)
        if made is not None:
            return made
    raise ValueError(f"timm has no {section['name']} of this shape")


def _resnet(section: Mapping[str, Any]) -> nn.Module:
    from timm.models import resnet

    sizes = resnet_sizes(section, "timm")
    block = resnet.Bottleneck if sizes["block"] == "bottleneck" else resnet.BasicBlock
    groups = {"cardinality": sizes["groups"], "base_width": sizes["width"]}
    return resnet.ResNet(block, sizes["depths"], num_classes=0, **groups)


def _regnet_sizes(section: Mapping[str, Any]) -> Any:
    """timm's settings of a RegNet; ValueError where its stem is another."""
    from timm.models.regnet import RegNetCfg

    if section.get("stem_stride", 2) != 2:
        raise ValueError("timm has no such regnet: stem_stride is another there")
    sizes = {"depth": section["depth"], "w0": section["w_0"], "wa": section["w_a"]}
    sizes |= {"wm": section["w_m"], "group_size": section["group_width"]}
    sizes |= {"bottle_ratio": section.get("bottleneck_ratio", 1.0)}
    sizes |= {"se_ratio": section.get("se_ratio", 0.0)}
    return RegNetCfg(stem_width=section.get("stem_width", 32), **sizes)


def vit_sizes(section: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of timm's VisionTransformer; those of ViT-B/16 where a section does not say."""
    width, hidden = section.get("width", 768), section.get("hidden", 3072)
    return {
        "img_size": section.get("resolution", 224),
        "patch_size": section.get("patch_size", 16),
        "embed_dim": width,
        "depth": section.get("depth", 12),
        "num_heads": section.get("heads", 12),
        "mlp_ratio": hidden / width,
        "num_classes": 0,
    }


def _again(backbone: nn.Module, section: Mapping[str, Any]) -> nn.Module:
    """timm's own network of a section, which nothing here has touched."""
    import timm

    options = dict(section.get("options", {}))
    make = partial(timm.create_model, section["model"], num_classes=0, **options)
    if not section.get("resolution"):
        return make()
    try:
        return make(img_size=section["resolution"])
    except TypeError:  # of one that takes images of any size
        return make()


def _shaped(name: str, shapes: list) -> nn.Module | None:
    """timm's network, where its tensors have these shapes."""
    import timm
    import torch

    with torch.device("meta"):
        shadow = timm.create_model(name, num_classes=0)
    if sorted(value.shape for value in shadow.state_dict().values()) != shapes:
        return None
    return timm.create_model(name, num_classes=0)


def loading(backbone: nn.Module) -> str:
    """How the written file is loaded without this project, in a line of Python."""
    made = f"timm.create_model({getattr(backbone, 'name', 'NAME')!r}, num_classes=0)"
    return f"{made}.load_state_dict(safetensors.torch.load_file(FILE))"
