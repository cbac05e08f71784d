"""A network for other runtimes: ONNX, and torch.export; each held to the network itself.

The graph takes images float32 (n, 3, size, size), n free, RGB, of 0 to 1, less the mean and by the
deviation that the file's metadata names, and gives probabilities (n, classes): of a class; for a
network trained on hashtags, of a softmax over the vocabulary; of tags, each by itself. That of a
network of clips takes one view each of n videos, float32 (n, 3, t, size, size); which frames of a
video its test reads, and how many such views it averages, is in the metadata.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from engine.core import checkpoint
from engine.core.network import load_network
from engine.core.numerics import numerics
from engine.inference.predictor import TAGS
from models.blocks.augment.views import normalisation

OPSETS = range(18, 24)  # those that torch's exporter writes; the first is read by most runtimes
SHAPES = {"images": {0: torch.export.Dim("n", min=1, max=1 << 16)}}
BATCHES = {4: (1, 2, 7, 32), 5: (1, 2, 5)}  # that the written file is compared at, by axes
TOLERANCE = 1e-4  # of a probability
OF_IMAGES = {
    "tagdag.input": "images: float32 (n, 3, size, size), RGB of 0 to 1, (x - mean) / std",
    "tagdag.square": "the centre square, scaled to size (Lanczos), as JPEG of quality 92",
}
OF_CLIPS = {
    "tagdag.input": "images: float32 (n, 3, t, size, size), RGB of 0 to 1, (x - mean) / std",
    "tagdag.square": "the centre square of frames scaled to short_side, scaled to size",
}


class Graph(nn.Module):
    """What is exported: backbone, head, probabilities; nothing of the training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = network.backbone, network.head
        self.several = network.target == TAGS
        self.normalised = normalisation(network.backbone)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.backbone(images)).float()
        return self.head.decode(logits) if self.several else logits.softmax(1)


class Input(NamedTuple):
    """One input of a network: its shape, and what its metadata says of it."""

    shape: tuple[int, ...]
    about: dict[str, str]


def graph(weights: Path, size: int) -> tuple[Graph, list[str], Input]:
    """The graph of a weight file on the CPU, its class names and its input at `size` pixels.

    ValueError with cause and cure for a network that finds objects.
    """
    network, names = load_network(weights)
    if getattr(network, "scenes", False):
        raise ValueError(
            f"{weights} finds objects or classes of pixels: how many regions its head looks at "
            "depends on the image, which no graph here has. Export its trunk (--weights FILE "
            "--format timm, torchvision or wsl), or serve the version with `python -m flows.serve`"
        )
    shape, reads = network.input_shape(size), network.test_columns(network.reads)
    told = OF_IMAGES
    if "clip" in reads:
        known = checkpoint.load_tensors(weights)[1]
        own = {"clip": reads["clip"], "policy": {"name": "plain"}, "frame_rate": None}
        own |= {key: known[key] for key in own if known.get(key)}
        told = OF_CLIPS | {f"tagdag.{key}": json.dumps(value) for key, value in own.items()}
        told |= {"tagdag.short_side": str(known.get("tested") or known.get("size") or size)}
    return Graph(network).eval(), names, Input(shape, told)


def about(names: list[str], given: Input, normalised: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of itself, as texts: ONNX knows no other metadata."""
    return {
        "tagdag.classes": json.dumps(names),
        "tagdag.size": str(given.shape[-1]),
        **given.about,
        "tagdag.mean": json.dumps(normalised["mean"]),
        "tagdag.std": json.dumps(normalised["std"]),
        "tagdag.output": "scores: float32 (n, classes), probabilities",
    }


def to_torch(weights: Path, size: int, file: Path) -> float:
    """Write a torch.export program; the greatest difference of a probability.

    ValueError when that is more than TOLERANCE.
    """
    module, names, given = graph(weights, size)
    with torch.no_grad():
        program = torch.export.export(module, (_example(given),), dynamic_shapes=SHAPES)
    told = {"tagdag.json": json.dumps(about(names, given, module.normalised))}
    with _whole(file) as partial:
        torch.export.save(program, partial, extra_files=told)
        # of this very file: one of a stranger would be code of his, for the format holds pickles
        return compared(module, torch.export.load(partial).module(), given)


def to_onnx(weights: Path, size: int, file: Path, opset: int = OPSETS[0]) -> float:
    """Write an ONNX file; the greatest difference of a probability under onnxruntime.

    ValueError when that is more than TOLERANCE, or the extra `export` is not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ModuleNotFoundError as error:
        raise ValueError(
            f"ONNX needs {error.name}: install the extra `export`, as `make setup` does"
        ) from None
    module, names, given = graph(weights, size)
    settings = {"dynamo": True, "verbose": False, "opset_version": opset, "dynamic_shapes": SHAPES}
    named = {"input_names": ["images"], "output_names": ["scores"]}
    with torch.no_grad():
        written = torch.onnx.export(module, (_example(given),), **settings, **named).model_proto
    onnx.helper.set_model_props(written, about(names, given, module.normalised))
    onnx.checker.check_model(written, full_check=True)
    with _whole(file) as partial:
        partial.write_bytes(written.SerializeToString())
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(["scores"], {"images": images.numpy()})[0])

        return compared(module, run, given)


def _example(given: Input) -> Tensor:
    # 2 and not 1: torch makes a constant of a batch of one
    return torch.zeros(2, *given.shape)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """Another name to write under; the file gets its own when all has gone well."""
    partial = file.with_name(f".partial-{file.name}")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def compared(module: nn.Module, other: Callable[[Tensor], Tensor], given: Input) -> float:
    """The greatest difference of a probability over batches of noise.

    ValueError when that is more than TOLERANCE.
    """
    draws = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in BATCHES[len(given.shape) + 1]:
        images = torch.randn(batch, *given.shape, generator=draws)
        with torch.no_grad(), numerics():
            difference = (module(images) - other(images)).abs().max().item()
        worst = max(worst, difference)
    if not worst <= TOLERANCE:
        raise ValueError(
            f"the exported graph gives other probabilities than the network, by up to {worst:.2g} "
            f"(allowed: {TOLERANCE:g}), and is not kept: try another --opset"
        )
    return worst
