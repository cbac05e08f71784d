"""Weights in the names of timm: of its own networks, and of four families here.

https://github.com/huggingface/pytorch-image-models. timm reads the files of other authors by a
filter of each family, which renames tensors and fits position embeddings to another image size.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from models.blocks.naming import timm_names

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

    wanted = [value.shape for value in backbone.state_dict().values()]
    family = {"resnet": "resnet*", "resnext": "resnext*", "regnet": "regnet[xy]*"}
    for name in timm.list_models(family.get(section["name"], "efficientnet_b?")):
        made = _shaped(name, sorted(wanted))
        if made is not None:
            return made
    raise ValueError(f"timm has no {section['name']} of this shape")


def _again(backbone: nn.Module, section: Mapping[str, Any]) -> nn.Module:
    """timm's own network of a section, which nothing here has touched."""
    import timm

    options = dict(section.get("options", {}))
    if section.get("resolution") and backbone.resolution:
        options["img_size"] = section["resolution"]
    return timm.create_model(section["model"], num_classes=0, **options)


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
