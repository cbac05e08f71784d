"""Weights in the names of torchvision: of its own networks, and of ResNet and ResNeXt here.

https://github.com/pytorch/vision: a flat dictionary of tensors, whose file name ends in the first
digits of its SHA-256.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from models.blocks.layers.mvit import clip_network
from models.blocks.naming import TORCHVISION, named_by, resnet_sizes
from models.blocks.videonaming import videoresnet_name

HASHED = True  # a file name may end in the first digits of the file's SHA-256
EPS = 1e-5  # of its batch norms
HEADS = ("fc.", "classifier.", "head.", "heads.", "aux1.", "aux2.", "AuxLogits.")


def unwrapped(tree: Mapping[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by their names."""
    return dict(tree)


def names(backbone: nn.Module) -> dict[str, str]:
    """Name in the backbone: name in the file, of every tensor.

    ValueError for a network of clips of another eps, with which the weights mean something else.
    """
    found = named_by(backbone, TORCHVISION | {"VideoResNet": videoresnet_name}, "torchvision")
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm3d)]
    if type(backbone).__name__ == "VideoResNet" and norms[0].eps != EPS:
        raise ValueError(
            f"the norms of torchvision's networks of clips add {EPS} to the variance, and this "
            f"one's {norms[0].eps}: give the backbone `eps: {EPS}`"
        )
    return found


def is_head(key: str) -> bool:
    """Whether a tensor of the file is of the head, which stays behind."""
    return key.startswith(HEADS)


def source(backbone: nn.Module) -> str:
    """What to fetch where the file is missing."""
    name = getattr(backbone, "name", None)
    if name is None:
        return "fetch the state dict of torchvision's network of the same shape"
    from torchvision.models import get_model_weights, list_models

    if name not in list_models():  # of other sizes than any that are published
        return f"fetch the state dict of torchvision's {name} of the same shape"
    urls = [each.url for each in get_model_weights(name)]
    return f"fetch {' or '.join(urls)}"


def twin(backbone: nn.Module, section: Mapping[str, Any]) -> nn.Module:
    """The library's own network without its classifier: images -> (n, channels).

    ValueError where it has none of this shape.
    """
    from torchvision.models import resnet

    if hasattr(backbone, "library"):
        if backbone.library != "torchvision":
            raise ValueError(f"{backbone.library}'s {backbone.name} has no names of torchvision")
        return _again(backbone, section)
    if section["name"] == "vit":
        return _vit(section)
    if section["name"] == "videoresnet":
        return _videoresnet(section)
    sizes = resnet_sizes(section, "torchvision")
    block = resnet.Bottleneck if sizes["block"] == "bottleneck" else resnet.BasicBlock
    groups = {"groups": sizes["groups"], "width_per_group": sizes["width"]}
    made = resnet.ResNet(block, sizes["depths"], **groups)
    made.fc = nn.Identity()
    return made


def _vit(section: Mapping[str, Any]) -> nn.Module:
    """torchvision's vision transformer of the sizes of a section; ViT-B/16's where it has none."""
    from torchvision.models import VisionTransformer

    sizes = [("resolution", 224), ("patch_size", 16), ("depth", 12), ("heads", 12)]
    sizes += [("width", 768), ("hidden", 3072)]
    made = VisionTransformer(*(section.get(key, usual) for key, usual in sizes))
    made.heads = nn.Identity()
    return made


def _videoresnet(section: Mapping[str, Any]) -> nn.Module:
    """torchvision's residual network of clips of a section; ValueError where it has none."""
    from torchvision.models.video import resnet

    kinds = {"3d": "Conv3DSimple", "2d": "Conv3DNoTemporal", "2plus1d": "Conv2Plus1D"}
    depths = list(section.get("depths", (2, 2, 2, 2)))
    told = section.get("convolutions", "2plus1d")
    convs = [getattr(resnet, kinds[kind]) for kind in ([told] * 4 if told in kinds else told)]
    stem = section.get("stem", "2plus1d")
    if len(depths) != 4 or len(convs) != 4 or stem == "2d":
        raise ValueError("torchvision's networks of clips have four stages, and no stem of images")
    block = resnet.BasicBlock if section.get("block", "basic") == "basic" else resnet.Bottleneck
    stems = resnet.BasicStem if stem == "3d" else resnet.R2Plus1dStem
    made = resnet.VideoResNet(block, convs, depths, stems)
    made.fc = nn.Identity()
    return made


def _again(backbone: nn.Module, section: Mapping[str, Any]) -> nn.Module:
    """torchvision's own network of a section, without the last layer of its classifier."""
    from torchvision.models import get_model

    options = dict(section.get("options", {}))
    if backbone.resolution and section["model"].startswith("vit_"):
        options["image_size"] = backbone.resolution
    if backbone.resolution and section["model"].startswith("maxvit"):
        options["input_size"] = (backbone.resolution, backbone.resolution)
    if hasattr(backbone, "reads"):  # one of clips
        made = clip_network(section["model"], **backbone.settings)
    else:
        made = get_model(section["model"], weights=None, **options)
    kept = backbone.model.state_dict()
    last = {key.rpartition(".")[0] for key in made.state_dict() if key not in kept}
    for name in last:
        made.set_submodule(name, nn.Identity())
    return made


def loading(backbone: nn.Module) -> str:
    """How the written file is loaded without this project, in a line of Python."""
    made = f"torchvision.models.{getattr(backbone, 'name', 'resnet50')}()"
    if hasattr(backbone, "reads"):
        made = f"torchvision.models.get_model({getattr(backbone, 'name', 'r3d_18')!r})"
    return f"{made}.load_state_dict(safetensors.torch.load_file(FILE), strict=False)"
