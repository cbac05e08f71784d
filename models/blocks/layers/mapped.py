"""Maps of a network that gives its classes alone: taken from the modules that they come out of."""

from collections.abc import Callable, Sequence
from functools import partial
from math import log2
from typing import Any, NamedTuple

from torch import Tensor, nn

from models.blocks.layers.borrowed import Borrowed, is_norm, known, on_meta, stage_ends
from models.blocks.layers.patches import WHOLE

__all__ = ["Mapped", "published_input", "set_rates"]

# what lies behind the last map
BEHIND = ("avgpool", "classifier", "dropout", "fc", "flatten", "head", "permute")
# containers whose blocks are layers, beside plain nn.Sequential
OPENED = ("AnyStage", "Encoder", "MaxVitBlock")
CHANNELS_LAST = ("SwinTransformer", "SwinTransformer3d")
LAST = nn.Linear | nn.Conv2d | nn.Conv3d  # of a classifier


class Found(NamedTuple):
    """The last map of a size: its module, its channels, and how many of the input's frames (of
    clips alone), rows and columns one of its places stands for.
    """

    name: str
    channels: int
    steps: tuple[int, ...]

    @property
    def stride(self) -> int:
        return self.steps[-1]


class Mapped(Borrowed):
    """inputs -> the last map of each size, and the vector that the classifier is given.

    model: the library's network. times: frames to one step of each map, of clips alone.
    """

    model: nn.Module
    times: list[int]

    def take(
        self, model: nn.Module, out: list[int] | None, pooled: bool, size: tuple[int, ...]
    ) -> None:
        """Keep a network without its last layer, and these of its maps; ValueError for no such map.

        size: of an input that it takes, (h, w) or (frames, h, w).
        """
        self.model, self.pooled = model, pooled
        width = _without_classifier(model, pooled)
        self.found = _maps_of(model, lambda shadow: self.run(shadow, *size), size)
        chosen = list(range(len(self.found))) if out is None else sorted(set(out))
        if chosen and chosen[-1] >= len(self.found):
            told = ", ".join(f"{i} of stride {one.stride}" for i, one in enumerate(self.found))
            raise ValueError(f"out: there is no map {chosen[-1]}: take of {told}")
        taken = [self.found[number] for number in chosen]
        self.out = [one.name for one in taken]
        for name in self.out:
            family = type(model).__name__
            model.get_submodule(name).register_forward_hook(partial(_keep, family))
        self.channels = [one.channels for one in taken] + [width] * pooled
        self.strides = [one.stride for one in taken] + [WHOLE] * pooled
        if len(size) == 3:
            self.times = [one.steps[0] for one in taken] + [WHOLE] * pooled

    def named_layers(self) -> list[list[str]]:
        """Blocks; a norm belongs to the layer before it, a token to the first one."""
        layers, taken = [], set()
        for name, module in _blocks(self.model):
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
        return stage_ends(self, [f"model.{one.name}" for one in self.found])

    def forward(self, images: Tensor) -> list[Tensor]:
        self.check_images(images)
        vector = self.model(images)
        maps = []
        for name in self.out:
            # what a hook has left there in this very pass
            maps.append(self.model.get_submodule(name).__dict__.pop("kept"))
        if not self.pooled:
            return maps
        return [*maps, vector.reshape(*vector.shape, *[1] * (images.ndim - 2))]


def published_input(
    model: str, names: Sequence[str], of: str | None = None
) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Pixels, mean and deviation that a network's newest weights are for.

    of: another network of torchvision, whose input it has. Nothing is downloaded: torchvision keeps
    this beside the addresses of its files. ValueError for a name that is none of `names`.
    """
    from torchvision.models import get_model_weights

    known(model, names, "torchvision")
    used = get_model_weights(of or model).DEFAULT.transforms()
    return used.crop_size[0], tuple(used.mean), tuple(used.std)


def set_rates(model: nn.Module, drop: float | None, drop_path: float | None) -> None:
    """Other rates than the builder's, which of some networks takes none; ValueError for no such."""
    paths = [m for m in model.modules() if type(m).__name__ == "StochasticDepth"]
    behind = [m for name, m in model.named_modules() if _is_behind(name)]
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

    Of most it is linear, of SqueezeNet and S3D a convolution before the mean.
    """
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, LAST)]
    name, last = layers[-1]
    name = name if pooled else name.partition(".")[0]
    model.set_submodule(name, nn.Identity())
    return last.weight.shape[1]


def _is_behind(name: str) -> bool:
    """Whether a module of this name lies behind the last map."""
    return name.startswith(BEHIND)


def _blocks(model: nn.Module, above: str = "") -> list[tuple[str, nn.Module]]:
    """Modules from input to output: those inside of containers, with their names."""
    found = []
    for name, module in model.named_children():
        opened = type(module) in (nn.Sequential, nn.ModuleList) or type(module).__name__ in OPENED
        inside = f"{above}{name}"
        found += _blocks(module, f"{inside}.") if opened else [(inside, module)]
    return found


def _maps_of(
    model: nn.Module, run: Callable[[nn.Module], Any], size: tuple[int, ...]
) -> list[Found]:
    """The last map of each size. run: gives an input of `size` to a copy without values."""
    shadow, ran = on_meta(model), []
    for name, module in _blocks(shadow):
        if not _is_behind(name):
            hook = partial(_noted, ran, name, type(model).__name__)
            module.register_forward_hook(hook)
    run(shadow)
    found = {}
    for name, shape in ran:
        steps = tuple(map(_step, size, shape[2:]))
        found[steps] = Found(name, shape[1], steps)
    return list(found.values())


def _step(given: int, left: int) -> int:
    exact = given / left
    # a convolution without padding gives a little less than a half
    return round(exact if exact % 1 == 0 else 2 ** round(log2(exact)))


def _noted(ran: list, name: str, family: str, module: nn.Module, _: tuple, output: Any) -> None:
    found = _as_map(module, output, family)
    if found is not None:
        ran.append((name, found.shape))


def _as_map(module: nn.Module, output: Any, family: str) -> Tensor | None:
    """(n, c, h, w) or (n, c, t, h, w) of what a module gives; None where its places are not known.

    Of tokens (n, 1 + h w, c), of a map whose channels are last, of MViT's pair of tokens and sizes.
    """
    if family == "MViT" and not isinstance(module, nn.Conv3d):
        return _of_tokens(output[0], output[1]) if isinstance(output, tuple) else None
    if output.ndim == 3:
        side = round((output.shape[1] - 1) ** 0.5)
        return _of_tokens(output, (side, side))
    last = family in CHANNELS_LAST and not isinstance(module, nn.Conv2d)
    return output.movedim(-1, 1) if last else output


def _of_tokens(tokens: Tensor, size: tuple[int, ...]) -> Tensor:
    """Those of places, without the class token before them."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, size)


def _keep(family: str, module: nn.Module, _: tuple, output: Any) -> None:
    # in the module itself: a copy of the network has hooks and places of its own
    module.__dict__["kept"] = _as_map(module, output, family)
