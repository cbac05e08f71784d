"""The family of AnyNetX design spaces: stages free in their parameters, less constraints.

The parameters of a stage are depth, width, bottleneck ratio and group width.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from models.blocks.design.axes import Axis
from models.blocks.design.costs import Stages
from models.blocks.design.space import Band, DesignSpace, Values
from models.blocks.layers.anynet import fit_groups
from models.blocks.ranges import (
    Depth,
    Pixels,
    Positive,
    Rising,
    Share,
    StageCount,
    Stride,
    Width,
)

__all__ = ["AnyNetSpace"]

COLUMNS = {
    "depths": "depth",
    "widths": "width",
    "bottleneck_ratios": "bottleneck_ratio",
    "group_widths": "group_width",
}


class AnyNetSpace(DesignSpace):
    """Sections for `backbones/anynet`.

    The defaults are the paper's ranges, (lowest, highest) or choices. What the class lists in
    `shared` has one value for all stages, what it lists in `ordered` never decreases from stage to
    stage.

    flops, params, acts: bands, both ends included, of the body at `resolution` pixels.
    depths: range of a stage's blocks.
    widths: range of a stage's channels.
    bottleneck_ratios: choices of block width over bottleneck width.
    group_widths: range of channels per group, or choices.
    stages: their number.
    resolution: pixels that costs are reckoned at; params.yaml's is corpus.size.
    stem_width, stem_stride, se_ratio: of all networks.
    """

    shared: ClassVar[Sequence[str]] = ()
    ordered: ClassVar[Sequence[str]] = ()

    def __init__(
        self,
        flops: Band = None,
        params: Band = None,
        acts: Band = None,
        depths: Rising[Depth] = (1, 16),
        widths: Rising[Width] = (8, 1024),
        bottleneck_ratios: tuple[Positive, ...] = (1, 2, 4),
        group_widths: tuple[Width, ...] = (1, 2, 4, 8, 16, 32),
        stages: StageCount = 4,
        resolution: Pixels = 224,
        stem_width: Width = 32,
        stem_stride: Stride = 2,
        se_ratio: Share = 0.0,
    ) -> None:
        self.number = stages
        names = {}
        for key, one in COLUMNS.items():
            names[key] = [f"{one}_{number}" for number in range(1, stages + 1)]
            if key in self.shared:
                names[key] = [one]
        axes = [
            Axis.steps(names["depths"], depths, 1, "log", ordered="depths" in self.ordered),
            Axis.steps(names["widths"], widths, 8, "log", ordered="widths" in self.ordered),
            Axis.ratios(names["bottleneck_ratios"], bottleneck_ratios),
            Axis.group_widths(names["group_widths"], group_widths),
        ]
        self.names = {key: axis.columns for key, axis in zip(COLUMNS, axes, strict=True)}
        body = {"se_ratio": se_ratio, "stem_width": stem_width, "stem_stride": stem_stride}
        super().__init__(axes, {"flops": flops, "params": params, "acts": acts}, resolution, body)

    def section(self, values: dict[str, Any]) -> dict[str, Any]:
        """The section of params.yaml for the backbone with these values of the axes."""
        lists = dict(zip(self.names, self._by_stage(values), strict=True))
        return {"name": "anynet", **lists, **self.body}

    def _by_stage(self, values: dict[str, Any]) -> Iterator[list[Any]]:
        """A list with an entry for each stage, for each of COLUMNS."""
        for columns in self.names.values():
            row = [values[column] for column in columns]
            yield row if len(row) == self.number else row * self.number

    def values(self, section: dict[str, Any]) -> dict[str, Any]:
        """The values of the axes of a section; LookupError or TypeError if it has none."""
        return {
            column: section[key][i]
            for key, columns in self.names.items()
            for i, column in enumerate(columns)
        }

    def as_anynet(self, section: dict[str, Any]) -> dict[str, Any]:
        """The network as a complete section of backbones/anynet, groups fitted.

        Sections are equal where the networks are.
        """
        network = self.defaults | section
        widths, groups = fit_groups(
            *(network[key] for key in ("widths", "bottleneck_ratios", "group_widths"))
        )
        return network | {"widths": widths, "group_widths": groups}

    def stages(self, values: Values, rejected: Counter) -> tuple[Values, Stages]:
        """All values, for the axes leave nothing to reject, and their stages."""
        return values, Stages(*(np.stack(row) for row in self._by_stage(values)))
