"""The family of RegNet design spaces: widths are a quantised linear function of the block index.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, sections 3.3 and 4. The default ranges and the step of each parameter are those of the
authors' sampler (pycls).
"""

from collections import Counter
from itertools import accumulate
from operator import mul
from typing import Any, ClassVar

import numpy as np

from models.blocks.design.axes import Axis
from models.blocks.design.costs import Stages
from models.blocks.design.space import Band, DesignSpace, Values, select
from models.blocks.layers.anynet import quantised_stages, regnet_stages
from models.blocks.ranges import (
    Depth,
    Growth,
    Pixels,
    Positive,
    Rising,
    Share,
    Slope,
    StageCount,
    Stride,
    Width,
)

__all__ = ["RegNetSpace", "quantised"]

LINEAR = ("depth", "w_0", "w_a", "w_m")  # the parameters of the quantised linear widths


class RegNetSpace(DesignSpace):
    """Sections for `backbones/regnet`.

    Ranges are (lowest, highest), both included; more group widths are choices.

    flops, params, acts: bands, both ends included, of the body at `resolution` pixels.
    depth, w_0, w_a, w_m: ranges of the backbone's parameters.
    group_width: range of channels per group, or choices.
    bottleneck_ratio: choices of block width over bottleneck width.
    stages: their number, or the lowest and highest.
    resolution: pixels that costs are reckoned at; params.yaml's is corpus.size.
    stem_width, stem_stride: of all networks.
    se_ratio: of all networks; null: that of the space.
    """

    squeeze: ClassVar[float] = 0.0
    defaults: ClassVar[dict[str, Any]] = DesignSpace.defaults | {"bottleneck_ratio": 1.0}

    def __init__(
        self,
        flops: Band = None,
        params: Band = None,
        acts: Band = None,
        depth: Rising[Depth] = (12, 28),
        w_0: Rising[Width] = (8, 256),
        w_a: Rising[Slope] = (8.0, 256.0),
        w_m: Rising[Growth] = (2.0, 3.0),
        group_width: tuple[Width, ...] = (8, 128),
        bottleneck_ratio: tuple[Positive, ...] = (1.0,),
        stages: StageCount | Rising[StageCount] = 4,
        resolution: Pixels = 224,
        stem_width: Width = 32,
        stem_stride: Stride = 2,
        se_ratio: Share | None = None,
    ) -> None:
        axes = [
            Axis.steps(["depth"], depth, 1, "linear"),
            Axis.steps(["w_0"], w_0, 8, "log"),
            Axis.steps(["w_a"], w_a, 0.1, "log"),
            Axis.steps(["w_m"], w_m, 0.001, "log"),
            Axis.group_widths(["group_width"], group_width),
            Axis.ratios(["bottleneck_ratio"], bottleneck_ratio),
        ]
        self.number = (stages, stages) if isinstance(stages, int) else stages
        squeeze = self.squeeze if se_ratio is None else se_ratio
        body = {"se_ratio": squeeze, "stem_width": stem_width, "stem_stride": stem_stride}
        super().__init__(axes, {"flops": flops, "params": params, "acts": acts}, resolution, body)

    def size(self, levels: int = 0) -> float:
        """How many networks the axes span, bands aside.

        levels: so many values of depth, w_0, w_a and w_m each, whatever their steps; 64 in the
        paper.
        """
        if not levels:
            return super().size()
        group_widths, ratios = self.axes[len(LINEAR) :][:2]
        return float(levels**4 * len(group_widths) * len(ratios))

    def section(self, values: dict[str, Any]) -> dict[str, Any]:
        """The section of params.yaml for the backbone with these values of the axes."""
        return {"name": "regnet", **values, **self.body}

    def values(self, section: dict[str, Any]) -> dict[str, Any]:
        """The values of the axes of a section; LookupError or TypeError if it has none."""
        return {column: (self.defaults | section)[column] for column in self.columns}

    def as_anynet(self, section: dict[str, Any]) -> dict[str, Any]:
        """The network as a complete section of backbones/anynet, groups fitted.

        Sections are equal where the networks are.
        """
        network = self.defaults | section
        stages = regnet_stages(
            *(network[key] for key in (*LINEAR, "bottleneck_ratio", "group_width"))
        )
        return {"name": "anynet", **stages, **{key: network[key] for key in self.body}}

    def stages(self, values: Values, rejected: Counter) -> tuple[Values, Stages]:
        """Values that give the number of stages and skip no power of w_m, and their stages."""
        few, most = self.number
        depth, w_0, w_a, w_m = (values[column] for column in LINEAR)
        # cheap and first: the last block's power alone tells the number of stages
        last = np.log((w_0 + w_a * (depth - 1)) / w_0) / np.log(w_m)
        near = np.flatnonzero((last > few - 1.5 - 1e-9) & (last < most - 0.5 + 1e-9))
        rejected["with another number of stages"] += len(last) - len(near)
        values = {column: array[near] for column, array in values.items()}
        depths, widths, skips = quantised(*(values[column] for column in LINEAR), most)
        number = (depths > 0).sum(0)
        right = (few <= number) & (number <= most)
        rejected["skipping a power of w_m"] += int(skips.sum())
        rejected["with another number of stages"] += int((~skips & ~right).sum())
        alike = (
            np.broadcast_to(values[key], depths.shape)
            for key in ("bottleneck_ratio", "group_width")
        )
        return select(right & ~skips, values, Stages(depths, widths, *alike))


def quantised(
    depth: np.ndarray, w_0: np.ndarray, w_a: np.ndarray, w_m: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """quantised_stages of many at once: (depths (most, n), widths (most, n), skips (n,)).

    skips: whether they skip a power of w_m, or have more than `most` stages.

    Of those that skip, depths and widths mean nothing. Where a rounding is close, quantised_stages
    decides.
    """
    powers = np.stack(list(accumulate([w_m] * (most - 1), mul, initial=np.ones_like(w_m))))
    widths = w_0 * powers / 8
    # block j is of stage k or before if its linear width does not reach half a power further
    reached = w_0 * (powers * np.sqrt(w_m) - 1) / w_a
    ends = np.minimum(np.ceil(reached), depth).astype(np.int64)
    close = (np.abs(reached - np.rint(reached)) < 1e-6) & (reached < depth)
    # the first two, w_0 and w_0 w_m, are the same to the last bit
    close[2:] |= np.abs(widths - np.floor(widths) - 0.5)[2:] < 1e-6
    widths = 8 * np.rint(widths).astype(np.int64)
    depths = np.diff(ends, axis=0, prepend=0)
    begun = np.concatenate([np.zeros_like(ends[:1]), ends[:-1]]) < depth
    skips = (
        (begun & (depths == 0)).any(0)
        | (begun[1:] & (widths[1:] == widths[:-1])).any(0)
        | (ends[-1] < depth)
    )
    for i in np.flatnonzero(close.any(0)):
        some, runs, skips[i] = quantised_stages(
            depth[i].item(), w_0[i].item(), w_a[i].item(), w_m[i].item()
        )
        skips[i] |= len(some) > most
        padding = [0] * (most - len(some))
        widths[:, i], depths[:, i] = (some + padding)[:most], (runs + padding)[:most]
    return depths, widths, skips
