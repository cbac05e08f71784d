"""A network from sections of params.yaml: backbone and head inside an objective.

The objective is the method that the network is trained by, with its loss and its views. (Nothing to
do with the `objectives` of a search, the numbers that Optuna compares networks by.)
"""

from pathlib import Path
from typing import Any

from torch import nn

from engine.core import checkpoint
from engine.core.build import build, resolve


def network_sections(section: dict[str, Any]) -> dict[str, Any]:
    """Of a stage's section, the sections that `network` is built from and that `save` keeps."""
    return {name: section[name] for name in ("backbone", "objective", "head")}


def network(
    backbone: dict[str, Any],
    objective: dict[str, Any],
    head: dict[str, Any],
    classes: int,
    where: str = "network",
) -> nn.Module:
    """The objective around a new backbone and head.

    ValueError names a wrong key or plug-in of any of the sections.

    classes: those of the data; an objective that makes its own targets has its own.
    """
    backbone_module = build("backbones", backbone, where=f"{where}.backbone")
    objective_class, settings = resolve(
        "objectives", objective, f"{where}.objective", ("backbone", "head")
    )
    # the class is asked, for there is no objective before it has its head: a pretext task knows
    # the number of its own targets
    sizes = objective_class.head_sizes(backbone_module.channels, classes, **settings)
    head_module = build("heads", head, where=f"{where}.head", **sizes)
    return objective_class(**settings, backbone=backbone_module, head=head_module)


def save_network(
    path: Path, module: nn.Module, sections: dict[str, Any], names: list[str], **about: Any
) -> None:
    """Write a network with the sections and class names that `load_network` needs.

    `about`: what else is to be known about it.
    """
    checkpoint.save_tensors(path, module.export(), {"sections": sections, "names": names} | about)


def load_network(path: Path) -> tuple[nn.Module, list[str]]:
    """The network of a weight file, rebuilt from the sections inside it, and its class names."""
    tensors, metadata = checkpoint.load_tensors(path)
    module = network(**metadata["sections"], classes=len(metadata["names"]))
    checkpoint.load_weights(module, tensors)
    return module, metadata["names"]
