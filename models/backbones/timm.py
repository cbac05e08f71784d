"""Networks of timm by their names there, each with the maps that timm itself gives.

Wightman 2019, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models. A new
network has new weights: those that timm publishes come from a file by `init`, never by a download.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from models.blocks.expected import network_row
from models.blocks.layers.borrowed import Borrowed, built, known, stage_ends
from models.blocks.layers.patches import WHOLE
from models.blocks.ranges import Pixels, Share, Whole

__all__ = ["Timm", "expected"]


class Timm(Borrowed):
    """A network of timm: `{name: timm, model: convnext_tiny}`.

    Tokens come as maps: those of patches, without class tokens, which `pooled` has where the
    network's classifier does. Convolutional networks give maps that are channels last in memory.

    model: its name, with the tag of its weights or without; the tag's input normalisation counts.
    out: numbers of timm's feature maps, from 0; null: the last of each stride.
    pooled: whether the last map is the vector (n, c, 1, 1) before the classifier; else nothing
        that lies behind the last of `out` is built.
    resolution: pixels of the images, for networks of one size; null: their own.
    drop: dropout before the classifier.
    drop_path: stochastic depth.
    options: other arguments of timm's builder, such as patch_size.
    """

    library = "timm"

    def __init__(
        self,
        model: str,
        out: list[Whole] | None = None,
        pooled: bool = True,
        resolution: Pixels | None = None,
        drop: Share = 0.0,
        drop_path: Share = 0.0,
        options: dict[str, Any] = {},  # noqa: B006 - read only
    ) -> None:
        super().__init__()
        self.name = model
        self.model = _created(model, resolution, drop, drop_path, options)
        about = self.model.pretrained_cfg
        self.mean, self.std = tuple(about["mean"]), tuple(about["std"])
        side = resolution or about["input_size"][-1]
        self.resolution = side if _has_one_size(self.model, about) else None
        levels = [level["reduction"] for level in _levels(self.model)]
        self.out = _chosen(out, levels)
        self.pooled = pooled
        if not pooled:
            self.out = self.model.prune_intermediate_layers(self.out, prune_norm=True)
        widths = [level["num_chs"] for level in _levels(self.model)]
        vector = [self.model.head_hidden_size] if pooled else []
        self.channels = [widths[number] for number in self.out] + vector
        self.strides = [levels[number] for number in self.out] + [WHOLE] * pooled

    def named_layers(self) -> list[list[str]]:
        """As timm groups parameters for rates that fall from layer to layer."""
        from timm.models import group_parameters

        matcher = getattr(self.model, "group_matcher", None)
        if matcher is None:  # few have none: their parts in the order of their making
            groups = _by_blocks(self.model)
        else:
            groups = group_parameters(self.model, matcher(coarse=False)).values()
        layer_of = {f"model.{name}": i for i, names in enumerate(groups) for name in names}
        found: dict[int, list[str]] = {}
        for name, _ in self.named_parameters():
            found.setdefault(layer_of[name], []).append(name)
        return [found[number] for number in sorted(found)]

    @property
    def stages(self) -> list[int]:
        """How many layers, from the input on, each stage ends with."""
        modules = [f"model.{level['module']}" for level in _levels(self.model)]
        return stage_ends(self, modules)

    def forward(self, images: Tensor) -> list[Tensor]:
        self.check_images(images)
        if self.pooled and not self.out:
            return [self.model(images)[:, :, None, None]]
        found = self.model.forward_intermediates(
            images, self.out, norm=False, intermediates_only=not self.pooled
        )
        if not self.pooled:
            return list(found)
        last, maps = found
        return [*maps, self.model.forward_head(last, pre_logits=True)[:, :, None, None]]


def _created(
    model: str, resolution: int | None, drop: float, drop_path: float, options: dict[str, Any]
) -> nn.Module:
    """The network without its classifier; ValueError for a name or an option that timm has not."""
    # here, for the import takes seconds that only such a network is to cost
    import timm

    architecture, _, tag = model.partition(".")
    known(architecture, timm.list_models(), "timm")
    if tag:
        known(model, timm.list_pretrained(f"{architecture}.*"), "timm")
    settings = dict(options)
    settings |= {"drop_rate": drop} if drop else {}
    settings |= {"drop_path_rate": drop_path} if drop_path else {}

    make = partial(timm.create_model, model, pretrained=False, num_classes=0)
    if resolution is None:
        return built(make, "timm", model, settings)
    try:
        return built(make, "timm", model, settings | {"img_size": resolution})
    except ValueError as error:
        # convolutional networks have no such argument, and take images of any size
        if "'img_size'" not in str(error):
            raise
    return built(make, "timm", model, settings)


def _has_one_size(model: nn.Module, about: dict[str, Any]) -> bool:
    return bool(about.get("fixed_input_size")) and not getattr(model, "dynamic_img_size", False)


def _levels(model: nn.Module) -> list[dict[str, Any]]:
    """What timm tells of its feature maps: channels, reduction, module."""
    info = model.feature_info
    return list(info if isinstance(info, list) else info.info)


def _chosen(out: Sequence[int] | None, levels: list[int]) -> list[int]:
    """Numbers of maps, rising; ValueError for one that there is not."""
    if out is None:
        return [i for i, stride in enumerate(levels) if stride not in levels[i + 1 :]]
    if out and max(out) >= len(levels):
        told = ", ".join(f"{i} of stride {stride}" for i, stride in enumerate(levels))
        raise ValueError(f"out: there is no map {max(out)}: take of {told}")
    return sorted(set(out))


def _by_blocks(model: nn.Module) -> list[list[str]]:
    """Names of parameters by the block that they are in: the first number of their name."""
    groups: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        parts = name.split(".")
        number = next((i for i, part in enumerate(parts) if part.isdigit()), 0)
        groups.setdefault(".".join(parts[: number + 1]), []).append(name)
    return list(groups.values())


def _row(model: str, side: int, params: int, **counts: int) -> dict[str, Any]:
    """A network by timm's own table of results."""
    return network_row({"model": model}, params, side, **counts)


expected = [
    _row("resnet50", 224, 25_557_032, flops=4_089_185_256, acts=11_315_688),
    _row("regnetx_004", 224, 5_157_512, flops=397_678_568, acts=3_143_272),
    _row("convnext_tiny", 224, 28_589_128),
    _row("vit_tiny_patch16_224", 224, 5_717_416),
]
