"""A model for other runtimes: `python -m flows.export --onnx model.onnx --torch model.pt2`.

Its trunk for another library: `--weights trunk.safetensors --format timm`, in that library's own
names, which is loaded there and compared with the network before it is kept.

Each graph is compared with the network itself at several batch sizes, and is refused where a
probability differs by more than 1e-4. What goes in and what comes out is in the file's metadata:
images float32 (n, 3, size, size), n free, RGB of 0 to 1, less mean, by deviation; out come
probabilities (n, classes).
"""

import tempfile
from pathlib import Path

from flows.cli.command import parser, user_errors


def export(
    model: str | None,
    size: int | None,
    onnx: Path | None,
    torch: Path | None,
    opset: int,
    weights: Path | None = None,
    form: str = "",
) -> None:
    """Write what is asked for, and print what it is and how far it is from the network."""
    from flows.predicting.weights import chosen_weights
    from flows.serving.export import to_onnx, to_torch

    with tempfile.TemporaryDirectory() as folder:
        chosen = chosen_weights(model, size, Path(folder))
        size = size or chosen.tested
        if onnx:
            told = to_onnx(chosen.weights, size, onnx, opset)
            print(f"{onnx}: ONNX, opset {opset}, {size} px; probabilities differ by {told:.1e}")
        if torch:
            told = to_torch(chosen.weights, size, torch)
            print(f"{torch}: torch.export, {size} px; probabilities differ by {told:.1e}")
        if weights:
            from flows.serving.trunk import to_library

            told, how = to_library(chosen.weights, form, size, weights)
            print(f"{weights}: {form}; features differ by {told:.1e}\n  {how}")


def main(arguments: list[str] | None = None) -> None:
    """Command line of the export."""
    command = parser("export", __doc__)
    what = "models:/NAME@ALIAS, models:/NAME/VERSION or a weight file (default: the champion)"
    command.add_argument("--model", metavar="MODEL", help=what)
    command.add_argument("--onnx", type=Path, metavar="FILE", help="needs the extra `export`")
    command.add_argument("--torch", type=Path, metavar="FILE.pt2", help="a torch.export program")
    known = range(18, 24)  # OPSETS of flows/serving/export.py, which would import torch
    command.add_argument("--opset", type=int, default=18, choices=known, help="of ONNX (18)")
    command.add_argument("--weights", type=Path, metavar="FILE", help="of its trunk, safetensors")
    names = ("torchvision", "timm", "wsl")
    command.add_argument("--format", choices=names, help="whose names those weights have")
    command.add_argument("--size", type=int, metavar="PIXELS", help="other than it was tested at")
    given = command.parse_args(arguments)
    if not (given.onnx or given.torch or given.weights):
        command.error("give --onnx, --torch, --weights, or several")
    if bool(given.weights) != bool(given.format):
        command.error("--weights FILE and --format NAME go together")
    if given.torch and given.torch.suffix != ".pt2":
        command.error(f"--torch {given.torch}: torch reads such a file only if it ends in .pt2")
    with user_errors():
        graphs = given.onnx, given.torch, given.opset
        export(given.model, given.size, *graphs, given.weights, given.format)


if __name__ == "__main__":
    main()
