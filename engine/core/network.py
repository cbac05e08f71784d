"""A network from sections of params.yaml: backbone and head inside an objective.

The objective is the method that the network is trained by, with its loss and its views. (Nothing to
do with the `objectives` of a search, the numbers that Optuna compares networks by.)

Parts learn their sizes from facts, of the data and of the backbone that is built: each is handed
those that its signature names.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from engine.core import checkpoint
from engine.core.build import build, resolve
from models.blocks.augment.clips import centred
from models.blocks.methods.reading import PIXELS

# what parts may ask for; not all of them are known of every data set and backbone
FACTS = {
    "classes": "how many classes or hashtags the data has",
    "names": "their names, in order",
    "target": "the column that is predicted",
    "samples": "how many samples a head is fitted on",
    "channels": "of each of the backbone's maps",
    "strides": "pixels of the input to one of each of the backbone's maps",
    "times": "frames of the input to one step of each of the backbone's maps",
    "tokens": "how many different tokens a text of the data may have",
}
OF_BACKBONE = ("channels", "strides", "times")
# what makes an objective read them, by what a backbone reads
CURES = {"clip": "give the objective `views: {name: clips}`", "image": "leave its `views` out"}


def network_sections(section: dict[str, Any]) -> dict[str, Any]:
    """Of a stage's section, the sections that `network` is built from and that `save` keeps."""
    return {name: section[name] for name in ("backbone", "objective", "head")}


def network(
    backbone: dict[str, Any],
    objective: dict[str, Any],
    head: dict[str, Any],
    where: str = "network",
    **facts: Any,
) -> nn.Module:
    """The objective around a new backbone and head.

    ValueError names a wrong key or plug-in of any of the sections, and a fact that nobody has.

    facts: of the data, as `classes`; an objective that makes its own targets has its own.
    """
    backbone_module = built("backbones", backbone, f"{where}.backbone", facts)
    of_backbone = {key: getattr(backbone_module, key, None) for key in OF_BACKBONE}
    facts |= {key: value for key, value in of_backbone.items() if value is not None}
    place = f"{where}.objective"
    objective_class, settings = resolve("objectives", objective, place, ("backbone", "head"))
    # the class is asked, for there is no objective before it has its head: a pretext task knows
    # the number of its own targets
    facts = objective_class.facts(facts | {"target": objective_class.target}, **settings)
    head_module = built("heads", head, f"{where}.head", facts)
    return objective_class(**settings, backbone=backbone_module, head=head_module)


def built(kind: str, section: dict[str, Any], where: str, facts: dict[str, Any]) -> Any:
    """A plug-in with the facts that its signature names; ValueError for one that nobody has."""
    # a fact that is not known here may stand in the section, as in that of a saved network
    unset = [key for key in FACTS if key not in section or key in facts]
    found, _ = resolve(kind, section, where, unset)
    wanted = inspect.signature(found).parameters
    given = {key: facts[key] for key in wanted if key in facts}
    needed = [key for key, each in wanted.items() if each.default is each.empty]
    lacking = [key for key in needed if key in FACTS and key not in {*given, *section}]
    if lacking:
        raise ValueError(
            f"{where}: {section['name']!r} asks for {lacking[0]!r} ({FACTS[lacking[0]]}), which "
            f"nobody has here (known: {', '.join(facts) or 'nothing'}): take other data, another "
            "backbone or another head"
        )
    return build(kind, section, where=where, **given)


def columns_read(objective: dict[str, Any], where: str = "objective") -> dict[str, dict[str, Any]]:
    """The columns that an objective reads of its data, each with the options of its reading."""
    found, settings = resolve("objectives", objective, where, ("backbone", "head"))
    return found.columns(**settings)


def tested_columns(module: nn.Module, policy: Any, read: Mapping[str, Any]) -> dict[str, Any]:
    """What of a data set is read for a test, of the columns that are read for training.

    Of a video that is one clip, or as many as the policy asks for.
    """
    columns, of_policy = module.test_columns(read), getattr(policy, "columns", None)
    return of_policy(columns) if of_policy else columns


def pixels_read(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of columns that are read the one of pixels, one view of each sample: of a clip its middle."""
    own = {name: dict(options) for name, options in columns.items() if name in PIXELS}
    return own | {"clip": centred(own["clip"])} if "clip" in own else own


def check_inputs(module: nn.Module, where: str = "network") -> None:
    """ValueError where a backbone reads images and its objective has clips, or the reverse."""
    reads = getattr(module.backbone, "reads", "image")
    if reads != module.column:
        backbone, objective = (type(part).__name__ for part in (module.backbone, module))
        raise ValueError(
            f"{where}: the backbone {backbone} reads the column {reads!r}, and {objective} has "
            f"{module.column!r} for it: {CURES.get(reads, 'take views that make it')}, or take "
            "another backbone"
        )


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
    names = metadata["names"]
    module = network(**metadata["sections"], classes=len(names), names=names)
    checkpoint.load_export(module, tensors)
    return module, names
