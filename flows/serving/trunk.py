"""A trained trunk in the names of another library: a file that loads there by itself."""

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from engine.core import checkpoint
from engine.core.network import load_network
from engine.core.numerics import numerics
from engine.transfer.weights import format_module, released_tensors

TOLERANCE = 1e-5  # of a pooled feature, over the largest of them where that is above 1
BATCH = 2  # images or clips that both networks are asked
FRAMES = 16  # of a clip, where the network takes any number


def to_library(weights: Path, form: str, size: int, file: Path) -> tuple[float, str]:
    """Write the backbone of a weight file as safetensors in the names of a format.

    Returns the greatest difference of a pooled feature between the library's own network, into
    which the written file is loaded, and the backbone; and how it is loaded there. ValueError where
    the library has no such network, or computes something else.
    """
    module, _ = load_network(weights)
    backbone = module.backbone.eval()
    section = checkpoint.load_tensors(weights)[1]["sections"]["backbone"]
    library = format_module(form)
    if not hasattr(library, "twin"):
        raise ValueError(f"--format {form}: weights are read in it, and not written: take another")
    twin = library.twin(backbone, section).eval()
    partial = file.with_name(f".partial-{file.name}")
    try:
        safetensors.torch.save_file(released_tensors(backbone, form), partial, {"format": "pt"})
        _loaded(twin, partial)
        difference = _compared(backbone, twin, size)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return difference, library.loading(backbone)


def _loaded(twin: nn.Module, file: Path) -> None:
    try:
        twin.load_state_dict(safetensors.torch.load_file(file))
    except RuntimeError as error:
        why = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the library's network does not take these weights ({why}): a backbone that leaves "
            "parts out, as one with `pooled: false`, is another than the library's"
        ) from None


@torch.no_grad()
def _compared(backbone: nn.Module, twin: nn.Module, size: int) -> float:
    """The greatest difference of a pooled feature on noise; ValueError when that is too much."""
    side = getattr(backbone, "resolution", None) or size
    clip = getattr(backbone, "reads", "image") == "clip"
    frames = [getattr(backbone, "frames", None) or FRAMES] if clip else []
    shape = (BATCH, 3, *frames, side, side)
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with numerics():
        ours, theirs = backbone(inputs)[-1].flatten(2).mean(2), twin(inputs)
    difference = (ours - theirs).abs().max().item()
    allowed = TOLERANCE * max(1.0, ours.abs().max().item())
    if not difference <= allowed:
        raise ValueError(
            f"the library's network gives other features, by up to {difference:.2g} (allowed: "
            f"{allowed:.1g}), and nothing is written: its definition differs from this backbone's"
        )
    return difference
