"""Networks of torchvision by their names there, with the maps of their stages.

Torchvision maintainers 2016, "TorchVision", https://github.com/pytorch/vision: models of images of
the package's own list. New networks have new weights: those that torchvision publishes come from a
file by `init`, never by a download.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks.expected import network_row
from models.blocks.layers.borrowed import (
    Borrowed,
    built,
    is_norm,
    known,
    stage_ends,
)
from models.blocks.layers.mapped import blocks, is_behind, keep, maps_of
from models.blocks.layers.patches import WHOLE
from models.blocks.ranges import Pixels, Share, Whole

__all__ = ["Torchvision", "expected"]

# of networks without auxiliary classifiers, and without minutes of initial draws
PLAIN = {"googlenet": {"aux_logits": False}, "inception_v3": {"aux_logits": False}}
PLAIN = {name: more | {"init_weights": False} for name, more in PLAIN.items()}
ONE_SIZE = ("vit_", "maxvit")  # the others take images of any
TRIED = 256  # px that the maps of those are found at


class Torchvision(Borrowed):
    """A network of torchvision: `{name: torchvision, model: swin_t}`.

    Tokens come as maps: those of patches, without the class token, which `pooled` has where the
    network's classifier does. Convolutional networks give maps that are channels last in memory.

    model: its name.
    out: numbers of its maps, from 0: of each stride the last; null: all.
    pooled: whether the last map is the vector (n, c, 1, 1) before the last layer of the classifier.
    resolution: pixels of the images, for networks of one size; null: their own.
    drop: dropout in the classifier; null: torchvision's own.
    drop_path: stochastic depth of the last block, less in those before; null: torchvision's own.
    options: other arguments of torchvision's builder, such as patch_size.
    """

    library = "torchvision"

    def __init__(
        self,
        model: str,
        out: list[Whole] | None = None,
        pooled: bool = True,
        resolution: Pixels | None = None,
        drop: Share | None = None,
        drop_path: Share | None = None,
        options: dict[str, Any] = {},  # noqa: B006 - read only
    ) -> None:
        super().__init__()
        self.name = model
        side, self.mean, self.std = _input(model)
        side = resolution or side
        settings = PLAIN.get(model, {}) | options
        settings |= {"image_size": side} if model.startswith("vit_") else {}
        settings |= {"input_size": (side, side)} if model.startswith("maxvit") else {}
        self.resolution = side if model.startswith(ONE_SIZE) else None
        self.model = _created(model, settings)
        _set_rates(self.model, drop, drop_path)
        self.pooled, width = pooled, _without_classifier(self.model, pooled)
        self.found = maps_of(
            self.model, partial(self.run, side=self.resolution or TRIED), self.resolution or TRIED
        )
        chosen = list(range(len(self.found))) if out is None else sorted(set(out))
        if chosen and chosen[-1] >= len(self.found):
            told = ", ".join(f"{i} of stride {one[2]}" for i, one in enumerate(self.found))
            raise ValueError(f"out: there is no map {chosen[-1]}: take of {told}")
        taken = [self.found[number] for number in chosen]
        self.out = [name for name, _, _ in taken]
        for name in self.out:
            family = type(self.model).__name__
            self.model.get_submodule(name).register_forward_hook(partial(keep, family))
        self.channels = [channels for _, channels, _ in taken] + [width] * pooled
        self.strides = [stride for _, _, stride in taken] + [WHOLE] * pooled

    def named_layers(self) -> list[list[str]]:
        """Blocks; a norm belongs to the layer before it, a token to the first one."""
        layers, taken = [], set()
        for name, module in blocks(self.model):
            own = [f"model.{name}.{each}" for each, _ in module.named_parameters()]
            taken.update(own)
            if layers and is_norm(module):
                layers[-1] += own
            elif own:
                layers.append(own)
        rest = [name for name, _ in self.named_parameters() if name not in taken]
        layers[0] = rest + layers[0]
        return layers

    @property
    def stages(self) -> list[int]:
        """How many layers, from the input on, each stage ends with."""
        if len(self.found) == 1:  # of one size from end to end
            return list(range(2, len(self.named_layers()) + 1))
        return stage_ends(self, [f"model.{name}" for name, _, _ in self.found])

    def forward(self, images: Tensor) -> list[Tensor]:
        self.check_images(images)
        vector = self.model(images)
        maps = []
        for name in self.out:
            # what a hook has left there in this very pass
            maps.append(self.model.get_submodule(name).__dict__.pop("kept"))
        return [*maps, vector[:, :, None, None]] if self.pooled else maps


def _input(model: str) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Pixels, mean and deviation that its newest weights are for; ValueError for an unknown name.

    Nothing is downloaded: torchvision keeps this beside the addresses of its files.
    """
    import torchvision

    known(model, torchvision.models.list_models(module=torchvision.models), "torchvision")
    used = torchvision.models.get_model_weights(model).DEFAULT.transforms()
    return used.crop_size[0], tuple(used.mean), tuple(used.std)


def _created(model: str, settings: dict[str, Any]) -> nn.Module:
    from torchvision.models import get_model

    where = torch.get_default_device()
    # the numbers of a RegNet are reckoned with tensors, of which the meta device has no values
    with torch.device("cpu" if model.startswith("regnet") else where):
        made = built(partial(get_model, model, weights=None), "torchvision", model, settings)
    if model.startswith("mnasnet"):
        # its own looks for a version beside the tensors, which no safetensors file has
        made._load_from_state_dict = partial(nn.Module._load_from_state_dict, made)
    return made.to(where)


def _set_rates(model: nn.Module, drop: float | None, drop_path: float | None) -> None:
    """Other rates than the builder's, which of some networks takes none; ValueError for no such."""
    paths = [m for m in model.modules() if type(m).__name__ == "StochasticDepth"]
    behind = [m for name, m in model.named_modules() if is_behind(name)]
    drops = [m for m in behind if isinstance(m, nn.Dropout)]
    if drop_path is not None:
        most = max((each.p for each in paths), default=0.0)
        if not most:
            raise ValueError("drop_path: this network has no stochastic depth: take the key away")
        for each in paths:
            each.p *= drop_path / most
    if drop is not None:
        if not drops:
            raise ValueError("drop: this network has no dropout: take the key away")
        for each in drops:
            each.p = drop


def _without_classifier(model: nn.Module, pooled: bool) -> int:
    """Take the last layer away, all of the classifier unless `pooled`; width of what it was given.

    Of most it is linear, of SqueezeNet a convolution before the mean.
    """
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    name, last = layers[-1]
    name = name if pooled else name.partition(".")[0]
    model.set_submodule(name, nn.Identity())
    return last.weight.shape[1]


def _row(model: str, params: int, **counts: int) -> dict[str, Any]:
    """A network by torchvision's own table (`num_params`)."""
    return network_row({"model": model}, params, **counts)


expected = [
    _row("resnet50", 25_557_032, flops=4_089_185_256, acts=11_315_688),
    _row("resnext101_32x8d", 88_791_336),
    _row("swin_t", 28_288_354),
    _row("vit_b_16", 86_567_656),
]
