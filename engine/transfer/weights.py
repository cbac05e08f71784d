"""Weights that others released, into a backbone: read safely, every tensor accounted for.

A format (models/formats) says what a file calls the tensors of a network. Nothing is downloaded,
and no pickle runs: torch.load with weights_only, or safetensors.
"""

import argparse
import hashlib
import logging
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.core import checkpoint
from engine.core.build import PREFIX, build, located, options
from engine.core.refusals import nearest_text
from engine.transfer.inflating import Inflation, inflate

log = logging.getLogger("tagdag")
# torch.hub: the file name ends in the first digits of its SHA-256
SUFFIX = re.compile(r"-([0-9a-f]{8,64})\.[a-z.]+$")
LISTED = 20  # tensors that a message names
COUNTERS = "num_batches_tracked"  # of batch norm; files of older releases of torch have none
FOLDER = Path(import_module(f"{PREFIX}models.formats").__file__).parent


class Init(NamedTuple):
    """A file of weights, the format that it is in, and how those of images come into time."""

    file: Path
    format: str
    inflate: Inflation = "repeat"


def init_section(file: str, format: str, inflate: Inflation = "repeat") -> None:
    """Weights that a training starts from.

    file: safetensors, or a pickle of tensors alone (.pth, .pt, .tar), which is never run.
    format: whose names its tensors have: native, torchvision, timm, wsl, moco, dino or swav; of
        networks of clips also vmz, pyslowfast or pytorchvideo.
    inflate: how weights of images come into a network of clips: `repeat` over the frames of a
        kernel, divided by their number, or on its `centre` alone (engine/transfer/inflating.py).
    """


def formats() -> list[str]:
    """Names of the formats: the files of models/formats."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def init_of(section: Mapping[str, Any], where: str) -> Init:
    """The file and format of a section; ValueError for any that is wrong."""
    given = options(init_section, dict(section), where)
    known = formats()
    if given["format"] not in known:
        near = nearest_text(given["format"], known)
        raise ValueError(
            f"{where}.format: unknown name {given['format']!r}{near} (names: {', '.join(known)})"
        )
    return Init(**given | {"file": Path(given["file"])})


def init_keys(section: Mapping[str, Any]) -> dict[str, Any]:
    """Of a section that has more, what `init_of` takes."""
    return {key: section[key] for key in Init._fields if key in section}


def format_module(name: str) -> ModuleType:
    """The module of a format."""
    return import_module(f"{PREFIX}models.formats.{name}")


def load_released(backbone: nn.Module, init: Init) -> str:
    """Copy the weights of a file into a backbone; one line on what was taken and what was left.

    ValueError with the reason where the file is missing, damaged, would run code, is of another
    network, or leaves a tensor of either side unaccounted for.
    """
    form = format_module(init.format)
    check_file(init, backbone)
    tree = read_file(init)
    found, tensors = form.names(backbone), _tensors(form.unwrapped(tree, backbone), init)
    expected, taken = backbone.state_dict(), {}
    over_time = inflate(expected, found, tensors, init.inflate)
    for key, name in found.items():
        if name in tensors:
            taken[key] = tensors[name]
    faults = _faults(expected, found, tensors, form)
    if faults:
        kind = getattr(backbone, "name", type(backbone).__name__)
        raise ValueError(
            f"{init.file} does not hold the weights of this {kind} in the format {init.format}: "
            f"{'; '.join(faults)}: name the network that it is of, or another format"
        )
    told = _converted(expected, taken)
    backbone.load_state_dict(taken, strict=False)
    used = {found[key] for key in taken}
    left = sorted(set(tensors) - used)
    text = f"{init.file} ({init.format}): {len(taken)} of {len(taken)} tensors of the trunk"
    text += f"; left behind: {_some(left, 4)}" if left else ""
    text += f"; {over_time} inflated over time ({init.inflate})" if over_time else ""
    text = "; ".join([text, *told])
    log.info("%s", text)
    return text


def check_file(init: Init, backbone: nn.Module) -> None:
    """ValueError where the file is missing, with what to fetch, or is not what its name says."""
    form = format_module(init.format)
    if not init.file.is_file():
        raise ValueError(
            f"there is no {init.file}: {form.source(backbone)}, and put it there; "
            "nothing is downloaded here"
        )
    suffix = SUFFIX.search(init.file.name)
    if not form.HASHED or not suffix:
        return
    with init.file.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(suffix[1]):
        raise ValueError(
            f"{init.file}: its SHA-256 begins with {found[: len(suffix[1])]}, and not with "
            f"{suffix[1]}, which its name says: fetch it again, or rename a file of your own"
        )


def check_section(section: Mapping[str, Any], backbone: Mapping[str, Any], where: str) -> None:
    """ValueError where the file of a section {file, format} is missing, or not what its name says.

    backbone: the section of the network that it is to be of.
    """
    init = init_of(section, where)
    with torch.device("meta"):
        network = build("backbones", dict(backbone), where=where)
    with located(where):
        check_file(init, network)
        # the network has to have names in the format at all
        format_module(init.format).names(network)


def read_file(init: Init) -> Mapping[str, Any]:
    """What a file holds: tensors by name, maybe below names of its own.

    ValueError where it is damaged, or a pickle that is more than tensors.
    """
    if init.format == "native":
        return checkpoint.load_tensors(init.file)[0]
    found = _read_tensors(init.file) if _is_safetensors(init.file) else _unpickled(init.file)
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        kind = type(found).__name__
        raise ValueError(f"{init.file} holds a {kind}, no tensors by name: save a state_dict()")
    return found


def _is_safetensors(file: Path) -> bool:
    """By its content: the length of a header, then the header."""
    with file.open("rb") as opened:
        return file.suffix == ".safetensors" or opened.read(9)[8:] == b"{"


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            # safe_open is no dictionary: only its keys() can be iterated over
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{file} is truncated or no safetensors ({error}): fetch it again"
        ) from None


def _unpickled(file: Path) -> Any:
    try:
        # checkpoints of trainings hold their arguments, which are plain attributes
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"(?:GLOBAL|global|class) `?([\w.]+\.[\w.]+)", str(error))
        if code:
            raise ValueError(
                f"{file} is a pickle that would run code ({code[1]}), and is not read: save its "
                "tensors as safetensors where you trust it, or take another file"
            ) from None
        raise ValueError(f"{file} is no file of weights, or damaged: fetch it again") from None
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, AttributeError) as error:
        why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ValueError(f"{file} is truncated or damaged ({why}): fetch it again") from None


def _tensors(tree: Mapping[str, Any], init: Init) -> dict[str, Tensor]:
    """The tensors; ValueError where something else is among them."""
    others = [key for key, value in tree.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(
            f"{init.file} is not of the format {init.format}: {_some(others)} are no tensors "
            f"(formats: {', '.join(formats())})"
        )
    return dict(tree)


def _faults(
    expected: Mapping[str, Tensor],
    found: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    form: ModuleType,
) -> list[str]:
    """What is missing, too many, of another shape, or no number; nothing where all is well."""
    # what a file has never had is no fault: a counter, which only a cumulative average needs
    needed = {key: name for key, name in found.items() if not key.endswith(COUNTERS)}
    missing = [name for name in needed.values() if name not in tensors]
    extra = [name for name in tensors if name not in set(found.values()) | _heads(tensors, form)]
    held = [(expected[key], name) for key, name in found.items() if name in tensors]
    shaped = [
        f"{name} is {tuple(tensors[name].shape)} and should be {tuple(own.shape)}"
        for own, name in held
        if own.shape != tensors[name].shape
    ]
    kinds = [
        f"{name} is {tensors[name].dtype}"
        for own, name in held
        if own.is_floating_point() != tensors[name].is_floating_point()
    ]
    broken = [
        name
        for own, name in held
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all()
    ]
    told = (
        ("missing", missing),
        ("unknown", extra),
        ("of another shape", shaped),
        ("of another kind of number", kinds),
        ("not finite", broken),
    )
    return [f"{len(names)} {what}: {_some(names)}" for what, names in told if names]


def _heads(tensors: Iterable[str], form: ModuleType) -> set[str]:
    return {name for name in tensors if form.is_head(name)}


def _converted(expected: Mapping[str, Tensor], taken: dict[str, Tensor]) -> list[str]:
    """Make the tensors of the network's own types; which ones that were, for the message."""
    changed = {}
    for key, tensor in taken.items():
        own = expected[key].dtype
        if tensor.dtype != own and tensor.is_floating_point():
            changed[str(tensor.dtype).removeprefix("torch.")] = str(own).removeprefix("torch.")
            taken[key] = tensor.to(own)
    return [f"{before} became {after}" for before, after in changed.items()]


def _some(names: Iterable[str], most: int = LISTED) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def released_tensors(backbone: nn.Module, format: str) -> dict[str, Tensor]:
    """The backbone's tensors in the names of a format; ValueError where it has none for them."""
    named = format_module(format).names(backbone)
    tensors = backbone.state_dict()
    return {name: tensors[key].detach().cpu().contiguous() for key, name in named.items()}
