"""Networks of torchvision by their names there, with the maps of their stages.

Torchvision maintainers 2016, "TorchVision", https://github.com/pytorch/vision: models of images of
the package's own list. New networks have new weights: those that torchvision publishes come from a
file by `init`, never by a download.
"""

from functools import partial
from typing import Any

import torch
from torch import nn

from models.blocks.expected import network_row
from models.blocks.layers.borrowed import built
from models.blocks.layers.mapped import Mapped, published_input, set_rates
from models.blocks.ranges import Pixels, Share, Whole

__all__ = ["Torchvision", "expected"]

# of networks without auxiliary classifiers, and without minutes of initial draws
PLAIN = {"googlenet": {"aux_logits": False}, "inception_v3": {"aux_logits": False}}
PLAIN = {name: more | {"init_weights": False} for name, more in PLAIN.items()}
ONE_SIZE = ("vit_", "maxvit")  # the others take images of any
TRIED = 256  # px that the maps of those are found at


class Torchvision(Mapped):
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
        side, self.mean, self.std = published_input(model, _names())
        side = resolution or side
        settings = PLAIN.get(model, {}) | options
        settings |= {"image_size": side} if model.startswith("vit_") else {}
        settings |= {"input_size": (side, side)} if model.startswith("maxvit") else {}
        self.resolution = side if model.startswith(ONE_SIZE) else None
        made = _created(model, settings)
        set_rates(made, drop, drop_path)
        side = self.resolution or TRIED
        self.take(made, out, pooled, (side, side))


def _names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


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


def _row(model: str, params: int, **counts: int) -> dict[str, Any]:
    """A network by torchvision's own table (`num_params`)."""
    return network_row({"model": model}, params, **counts)


expected = [
    _row("resnet50", 25_557_032, flops=4_089_185_256, acts=11_315_688),
    _row("resnext101_32x8d", 88_791_336),
    _row("swin_t", 28_288_354),
    _row("vit_b_16", 86_567_656),
]
