"""What an expansion grows: networks of images, or of clips with the frames that they see.

A design becomes a section that is trained, a line of a table, and a file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import yaml

from engine.core.build import build, plugin
from engine.core.digest import digest
from engine.measure.clip_expansion import clip_axes, multiply_adds
from engine.measure.complexity import measure
from engine.measure.expansion import AXES, Axis, flops, nearest, within
from flows.running import settings

Design = dict[str, Any]


class Images:
    """Designs {"backbone": a section of kind anynet, "resolution": pixels}."""

    pick: ClassVar[Callable] = staticmethod(nearest)

    def __init__(self, backbone: dict[str, Any], section: dict[str, Any], where: str) -> None:
        if backbone["name"] != "anynet":
            raise ValueError(
                f"{where}: a {backbone['name']} has no stages of its own: give an anynet"
            )
        self.base = {"backbone": backbone, "resolution": settings.image_size()}
        self.counting = section["space"]
        # images come in the pixels of the corpus, so their number is no axis
        self.axes: Mapping[str, Axis] = {key: AXES[key] for key in AXES if key != "resolution"}

    def complexity(self, design: Design) -> float:
        """Multiply-adds."""
        return flops(design)

    def tried(self, names: Sequence[str] | None) -> dict[str, Axis]:
        """The axes of these names, all when None; ValueError for one that the network has not."""
        for name in names or ():
            if name not in self.axes:
                kind = self.base["backbone"]["name"]
                raise ValueError(
                    f"--axes: a {kind} has no {name!r} here: choose from {', '.join(self.axes)}"
                )
        return {name: self.axes[name] for name in names or self.axes}

    def trained(self, section: dict[str, Any], design: Design) -> dict[str, Any]:
        """The section of the search with the design's network, and what that sees."""
        return section | {"backbone": design["backbone"]}

    def key(self, search: str, design: Design) -> str:
        """What a search's states of this design's training are known by, beside its network."""
        return search

    def space(self, design: Design) -> Any:
        """What counts the network."""
        return build("spaces", self.counting, where="search.space")

    def shown(self, design: Design) -> str:
        """Its settings, for people."""
        shown = ("depths", "widths", "bottleneck_ratios")
        return ", ".join(f"{key} {design['backbone'][key]}" for key in shown)

    def written(self, design: Design) -> str:
        """The YAML of the network's section."""
        return yaml.safe_dump(design["backbone"], sort_keys=False)


class Counted:
    """A network at its clips in the place of a design space: what a trial counts it by."""

    def __init__(self, design: Design) -> None:
        self.frames, self.resolution = design["frames"], design["resolution"]

    def contains(self, section: dict[str, Any]) -> bool:
        return True

    def cost(self, section: dict[str, Any]) -> dict[str, int]:
        """{"params", "flops", "acts"} of a backbone."""
        shape = (3, self.frames, self.resolution, self.resolution)
        return measure(build("backbones", section), shape)


class Clips(Images):
    """Designs {"backbone": a section, "frames", "every", "resolution"} of networks of clips.

    The first is what `search.objective.views` of params.yaml has.
    """

    pick: ClassVar[Callable] = staticmethod(within)

    def __init__(self, backbone: dict[str, Any], section: dict[str, Any], where: str) -> None:
        views = section["objective"].get("views") or {}
        if views.get("name") != "clips":
            raise ValueError(
                f"{where}: a {backbone['name']} reads clips: give search.objective `views: {{name: "
                "clips, frames: 4, every: 2, size: 16}`, the clips to begin with"
            )
        most = settings.image_size()
        known = {"frames": 8, "every": 2} | {key: views[key] for key in CLIP if key in views}
        self.base = {"backbone": backbone, **known, "resolution": views.get("size") or most}
        self.axes = clip_axes(backbone["name"], most)

    def complexity(self, design: Design) -> float:
        return multiply_adds(design)

    def trained(self, section: dict[str, Any], design: Design) -> dict[str, Any]:
        objective = section["objective"]
        objective = objective | {"views": objective["views"] | _views(design)}
        return section | {"backbone": design["backbone"], "objective": objective}

    def key(self, search: str, design: Design) -> str:
        return digest(search, _views(design))

    def space(self, design: Design) -> Counted:
        return Counted(design)

    def shown(self, design: Design) -> str:
        section = design["backbone"]
        factors = [f"{key} {section[key]:g}" for key in FACTORS if key in self.axes]
        seen = f"{design['frames']} frames, every {design['every']}, {design['resolution']} px"
        return ", ".join([seen, *factors])

    def written(self, design: Design) -> str:
        clips = ", ".join(f"{key}: {value}" for key, value in _views(design).items())
        note = f"# for clips as objective.views: {{name: clips, {clips}}}\n"
        return note + super().written(design)


CLIP = ("frames", "every")
FACTORS = ("depth", "width", "bottleneck")


def _views(design: Design) -> dict[str, int]:
    """The keys of views that a design sets."""
    return {key: design[key] for key in CLIP} | {"size": design["resolution"]}


def designs_of(backbone: dict[str, Any], section: dict[str, Any], where: str) -> Images | Clips:
    """Designs that begin with a complete section of a backbone, by a section of the search.

    ValueError, with the fix, for a network that cannot grow and for one without clips to read.
    """
    kind = plugin("backbones", backbone["name"], where)
    family = Clips if getattr(kind, "reads", "image") == "clip" else Images
    return family(backbone, section, where)
