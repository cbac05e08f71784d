"""A network for other runtimes: ONNX, and torch.export; each held to the network itself.

The graph takes images float32 (n, 3, size, size), n free, RGB, of 0 to 1, less the mean and by the
deviation that the file's metadata names, and gives probabilities (n, classes): of a class; for a
network trained on hashtags, of a softmax over the vocabulary; of tags, each by itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.network import load_network
from engine.core.numerics import numerics
from engine.inference.predictor import TAGS
from models.blocks.augment.views import normalisation

OPSETS = range(18, 24)  # those that torch's exporter writes; the first is read by most runtimes
SHAPES = {"images": {0: torch.export.Dim("n", min=1, max=1 << 16)}}
BATCHES = (1, 2, 7, 32)  # that the written file is compared at
TOLERANCE = 1e-4  # of a probability


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


def graph(weights: Path) -> tuple[Graph, list[str]]:
    """The graph of a weight file on the CPU, and its class names."""
    network, names = load_network(weights)
    return Graph(network).eval(), names


def about(names: list[str], size: int, normalised: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of itself, as texts: ONNX knows no other metadata."""
    return {
        "tagdag.classes": json.dumps(names),
        "tagdag.size": str(size),
        "tagdag.input": "images: float32 (n, 3, size, size), RGB of 0 to 1, (x - mean) / std",
        "tagdag.square": "the centre square, scaled to size (Lanczos), as JPEG of quality 92",
        "tagdag.mean": json.dumps(normalised["mean"]),
        "tagdag.std": json.dumps(normalised["std"]),
        "tagdag.output": "scores: float32 (n, classes), probabilities",
    }


def to_torch(weights: Path, size: int, file: Path) -> float:
    """Write a torch.export program; the greatest difference of a probability.

    ValueError when that is more than TOLERANCE.
    """
    module, names = graph(weights)
    with torch.no_grad():
        program = torch.export.export(module, (_example(size),), dynamic_shapes=SHAPES)
    told = {"tagdag.json": json.dumps(about(names, size, module.normalised))}
    with _whole(file) as partial:
        torch.export.save(program, partial, extra_files=told)
        # of this very file: one of a stranger would be code of his, for the format holds pickles
        return compared(module, torch.export.load(partial).module(), size)


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
    module, names = graph(weights)
    settings = {"dynamo": True, "verbose": False, "opset_version": opset, "dynamic_shapes": SHAPES}
    named = {"input_names": ["images"], "output_names": ["scores"]}
    with torch.no_grad():
        written = torch.onnx.export(module, (_example(size),), **settings, **named).model_proto
    onnx.helper.set_model_props(written, about(names, size, module.normalised))
    onnx.checker.check_model(written, full_check=True)
    with _whole(file) as partial:
        partial.write_bytes(written.SerializeToString())
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(["scores"], {"images": images.numpy()})[0])

        return compared(module, run, size)


def _example(size: int) -> Tensor:
    # 2 and not 1: torch makes a constant of a batch of one
    return torch.zeros(2, 3, size, size)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """Another name to write under; the file gets its own when all has gone well."""
    partial = file.with_name(f".partial-{file.name}")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def compared(module: nn.Module, other: Callable[[Tensor], Tensor], size: int) -> float:
    """The greatest difference of a probability over batches of noise.

    ValueError when that is more than TOLERANCE.
    """
    draws = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in BATCHES:
        images = torch.randn(batch, 3, size, size, generator=draws)
        with torch.no_grad(), numerics():
            difference = (module(images) - other(images)).abs().max().item()
        worst = max(worst, difference)
    if not worst <= TOLERANCE:
        raise ValueError(
            f"the exported graph gives other probabilities than the network, by up to {worst:.2g} "
            f"(allowed: {TOLERANCE:g}), and is not kept: try another --opset"
        )
    return worst
