"""Networks of other libraries as backbones: what Timm and Torchvision share."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks.layers.patches import WHOLE

__all__ = ["Borrowed", "Layer", "built", "is_norm", "known", "on_meta", "sized", "stage_ends"]

NORMS = ("Norm", "FrozenBatch")  # in the names of classes; libraries have norms of their own
OWN = ("pretrained", "checkpoint_path", "weights", "num_classes", "features_only", "in_chans")


class Layer(nn.Module):
    """Parts of a network that count as one layer: the modules that hold its parameters.

    Not a part of the network itself, and never run.
    """

    def __init__(self, modules: Iterable[nn.Module], parameters: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self.parts, self.own = nn.ModuleList(modules), nn.ParameterList(parameters)

    def parameters(self, recurse: bool = True) -> Any:
        """Those of this layer alone: a module may hold one of another layer's too."""
        return iter(self.own)


class Borrowed(nn.Module):
    """images -> maps (n, channels[i], h / strides[i], w / strides[i]) of a library's network.

    With `pooled` the last is (n, channels[-1], 1, 1): what the library's own classifier is given,
    by a class token, another convolution or a mean, as the network has it.

    library, name: which one. mean, std: of its input, by which views are normalised.
    resolution: pixels of the images that it is built for; None: any.
    """

    library: str
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resolution: int | None
    channels: list[int]
    strides: list[int]

    def named_layers(self) -> list[list[str]]:
        """Names of the parameters of each layer, from input to output."""
        raise NotImplementedError

    def layers(self) -> list[nn.Module]:
        """From input to output, every parameter in one of them."""
        owners = dict(self.named_modules())
        parameters = dict(self.named_parameters())
        found = []
        for names in self.named_layers():
            parts = {name.rpartition(".")[0]: None for name in names}
            # the network itself may own some, as a class token; it is no layer
            modules = [owners[part] for part in parts if part not in ("", "model")]
            found.append(Layer(modules, [parameters[name] for name in names]))
        return found

    def check_side(self, side: int) -> None:
        """ValueError, with what to change, where images of so many pixels do not fit."""
        if self.resolution not in (None, side):
            raise ValueError(
                f"{self.library}'s network is built for images of {self.resolution} x "
                f"{self.resolution} pixels, and gets {side} x {side}: set `resolution: {side}` in "
                f"the backbone's section, or `resolution: {self.resolution}` where it is trained"
            )
        found = self.shapes(side, side)
        assert [shape[1] for shape in found] == self.channels, found
        for shape, stride in zip(found, self.strides, strict=True):
            # convolutions without padding, as Inception's, lose a few pixels at the borders
            if abs(shape[2] * stride - side) > 4 * stride and stride != WHOLE:
                raise ValueError(
                    f"{self.library} tells a stride of {stride}, and gives a map of {shape[2]} for "
                    f"{side} pixels: choose other maps by `out`"
                )

    def shapes(self, *size: int) -> list[torch.Size]:
        """Of the maps of an image (3, *size); ValueError where the library refuses it."""
        return [m.shape for m in self.run(on_meta(self), *size)]

    def run(self, shadow: nn.Module, *size: int) -> Any:
        """What a network without values gives for an image (3, *size); ValueError where it refuses.

        size: height and width; of a clip its frames before them.
        """
        try:
            with torch.no_grad():
                return shadow(torch.empty(1, 3, *size, device="meta"))
        except (RuntimeError, AssertionError, ValueError, ArithmeticError, LookupError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0][:150]
            what, longer = sized(*size)
            raise ValueError(
                f"{self.library}'s network takes no {what} ({why}): give another `resolution` "
                f"(many networks need a multiple of 32, or of their patches), or {longer}"
            ) from None

    def check_images(self, images: Tensor) -> None:
        """ValueError for images of another size than a network of one size is built for."""
        height, width = images.shape[-2:]
        if self.resolution is not None and (height, width) != (self.resolution,) * 2:
            self.check_side(height if height != self.resolution else width)


def sized(*size: int) -> tuple[str, str]:
    """Words for inputs of height and width, or of frames, height and width; for what is larger."""
    pixels = f"of {size[-2]} x {size[-1]} pixels"
    if len(size) == 2:
        return f"images {pixels}", "larger images"
    return f"clips of {size[0]} frames {pixels}", "longer or larger clips"


def on_meta(module: nn.Module) -> nn.Module:
    """A copy without values, for shapes alone, in the mode of tests."""
    # deepcopy takes from the memo what it finds there: no weight is copied
    weights = [*module.parameters(), *module.buffers()]
    memo = {id(weight): weight.detach().to("meta") for weight in weights}
    return copy.deepcopy(module, memo).eval()


def known(name: str, names: Sequence[str], library: str) -> None:
    """ValueError with the nearest names for one that the library has not."""
    if name in names:
        return
    near = get_close_matches(name, names, 4, cutoff=0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"model: {library} has no {name!r}{meant} ({len(names)} names)")


@contextmanager
def _worded(library: str, model: str) -> Any:
    try:
        yield
    except (TypeError, RuntimeError, AssertionError, KeyError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(
            f"{library} cannot build {model} with these settings ({why}): change `options`, "
            "`resolution`, `drop` or `drop_path`"
        ) from None


def built(
    make: Callable[..., nn.Module], library: str, model: str, options: Mapping[str, Any]
) -> nn.Module:
    """What the library makes; ValueError for an option that is the code's own or unknown to it."""
    own = [key for key in options if key in OWN]
    if own:
        raise ValueError(
            f"options: {own[0]!r} is set by the code: nothing is downloaded, weights come by `init`"
        )
    with _worded(library, model):
        return make(**options)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm of any library."""
    return any(part in type(module).__name__ for part in NORMS) and not list(module.children())


def stage_ends(network: Borrowed, modules: Iterable[str]) -> list[int]:
    """How many layers, from the input on, end with each of these modules; the stem is no stage."""
    layer_of = {name: i for i, names in enumerate(network.named_layers()) for name in names}
    reached, ends = {}, 0
    for name, module in network.named_modules():
        for own, _ in module.named_parameters(recurse=False):
            ends = max(ends, layer_of[f"{name}.{own}"])
        # a parent comes before its parts: its end is where they are through
        for above in _above(name):
            reached[above] = ends
    return sorted({reached[name] + 1 for name in modules if reached.get(name)})


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
