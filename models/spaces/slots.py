"""RegNets with slots: which norm, what stands for the 3x3, what after the blocks, in which stages.

The stages are those of RegNetX (Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing
Network Design Spaces", arXiv 2003.13678, section 3.3). An operator stands in all blocks of the last
one, two, ... stages, for its papers have it where maps are small.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from models.blocks.design.axes import Axis
from models.blocks.design.costs import KINDS, Stages
from models.blocks.design.regnet import LINEAR, RegNetSpace
from models.blocks.design.slotted import Chosen, add_slots, last_stages
from models.blocks.design.space import Band, Values, select, stages_of
from models.blocks.layers.anynet import fit_group_arrays, quantised_stages
from models.blocks.ranges import (
    Depth,
    Growth,
    Pixels,
    Plug,
    Positive,
    Rising,
    Share,
    Slope,
    StageCount,
    Stride,
    Width,
)

__all__ = ["Slots"]

SLOTS = ("norm", "spatial", "after")
KEYS = (*SLOTS, "spatial_at", "after_at", "resolution")


class Slots(RegNetSpace):
    """Sections for `backbones/regnet` with slots; what is none has the value 1, the first choice 2.

    Costs are in closed form: the operators tell their own.

    norms: choices in the place of batch norm, which is one itself.
    spatials: choices in the place of the 3x3, which is one itself.
    afters: choices after the blocks or on their branches; none is one itself.
    slot_stages: so many of the last stages, lowest and highest, have a spatial or after slot.
    flops, params, acts: bands, both ends included, of the body at `resolution` pixels.
    depth, w_0, w_a, w_m: ranges of the backbone's parameters.
    group_width: range of channels per group, or choices.
    bottleneck_ratio: choices of block width over bottleneck width.
    stages: their number, or the lowest and highest.
    resolution: pixels that costs are reckoned at and positions learnt for.
    stem_width, stem_stride, se_ratio: of all networks.
    """

    def __init__(
        self,
        norms: list[Plug[Callable, "slots"]] = [],  # noqa: B006, F821
        spatials: list[Plug[Callable, "slots"]] = [],  # noqa: B006, F821
        afters: list[Plug[Callable, "slots"]] = [],  # noqa: B006, F821
        slot_stages: Rising[StageCount] = (1, 2),
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
        se_ratio: Share = 0.0,
    ) -> None:
        bands, linear = (flops, params, acts), (depth, w_0, w_a, w_m)
        body = (resolution, stem_width, stem_stride, se_ratio)
        super().__init__(*bands, *linear, group_width, bottleneck_ratio, stages, *body)
        self.choices = dict(zip(SLOTS, (norms, spatials, afters), strict=True))
        for key, choices in self.choices.items():
            self.axes.append(Axis([key], range(1, len(choices) + 2), "choice"))
        low, high = slot_stages
        for key in ("spatial", "after"):
            # where there is nothing to choose from, no stage has it
            last = high if self.choices[key] else low
            self.axes.append(Axis([f"{key}_stages"], range(low, last + 1), "linear"))
        self.fewest = low
        self.columns = {column: axis for axis in self.axes for column in axis.columns}

    def section(self, values: dict[str, Any]) -> dict[str, Any]:
        """The section of params.yaml for the backbone with these values of the axes."""
        own = {*SLOTS, "spatial_stages", "after_stages"}
        section = super().section({key: values[key] for key in values if key not in own})
        number = len(quantised_stages(*(values[column] for column in LINEAR))[0])
        for key in SLOTS:
            if values[key] == 1:
                continue
            section[key] = _named(self.choices[key][values[key] - 2])
            if key != "norm":
                having = min(values[f"{key}_stages"], number)
                section[f"{key}_at"] = [[]] * (number - having) + ["all"] * having
        return section | ({"resolution": self.resolution} if "spatial" in section else {})

    def values(self, section: dict[str, Any]) -> dict[str, Any]:
        """The values of the axes of a section; LookupError or TypeError if it has none."""
        found = {}
        for key in SLOTS:
            named = [None, *map(_named, self.choices[key])]
            if section.get(key) not in named:
                raise LookupError(f"{key} is no choice of this space")
            found[key] = named.index(section.get(key)) + 1
        for key in ("spatial", "after"):
            having = list(section.get(f"{key}_at", [])).count("all")
            found[f"{key}_stages"] = having if found[key] > 1 else self.fewest
        network = self.defaults | section
        found = {column: {**network, **found}[column] for column in self.columns}
        try:
            self.section(found)
        except ValueError as error:
            raise LookupError(str(error)) from None
        return found

    def neighbours(self, section: dict[str, Any]) -> list[dict[str, Any]]:
        """The members of the space that differ from a section by one step along one column."""
        # of a slot that is none there is one number of stages: not what it was elsewhere
        found, own = super().neighbours(section), self.values(section).items()
        return [other for other in found if len(own - self.values(other).items()) == 1]

    def as_anynet(self, section: dict[str, Any]) -> dict[str, Any]:
        """The network as a complete section of backbones/anynet, groups fitted."""
        slots = {key: section[key] for key in KEYS if key in section}
        return super().as_anynet(section) | slots

    def stages(self, values: Values, rejected: Counter) -> tuple[Values, Stages]:
        """As RegNets, if each has its slots in stages that it has, of channels that they take."""
        values, stages = super().stages(values, rejected)
        number = (stages.depths > 0).sum(0)
        inner = fit_group_arrays(*stages[1:])[1]
        good = np.ones(len(number), bool)
        for key in ("spatial", "after"):
            having, none = values[f"{key}_stages"], values[key] == 1
            good &= np.where(none, having == self.fewest, having <= number)
        rejected["with a slot in no stage"] += int((~good).sum())
        fits = good.copy()
        for slot, having in self._chosen(values, "spatial"):
            fits &= ~(last_stages(stages, having) & (inner % _divisor(slot) > 0)).any(0)
        rejected["with channels that a slot cannot split"] += int((good & ~fits).sum())
        return select(fits, values, stages)

    def cost(self, section: dict[str, Any], classes: int = 0) -> dict[str, int]:
        """{"params", "flops", "acts"} of the body and of a linear head if classes are given.

        Without building it. LookupError for a section with slots that are no choice here.
        """
        values = {key: np.array([value]) for key, value in self.values(section).items()}
        found = self.costs(values, stages_of(super().as_anynet(section)), KINDS, classes)
        return {kind: one.item() for kind, one in found.items()}

    def costs(
        self, values: Values, stages: Stages, kinds: Sequence[str] = KINDS, classes: int = 0
    ) -> Values:
        """What `cost` gives, or some of it, of many networks at once: an array per kind."""
        total = super().costs(values, stages, kinds, classes)
        side = -(-self.resolution // self.body["stem_stride"])
        spatials, afters = (list(self._chosen(values, key)) for key in ("spatial", "after"))
        add_slots(total, stages, side, spatials, afters)
        return total

    def _chosen(self, values: Values, key: str) -> Iterator[Chosen]:
        """The choices of a kind of slot, each with how many last stages of a network have it."""
        for number, slot in enumerate(self.choices[key], 2):
            yield slot, np.where(values[key] == number, values[f"{key}_stages"], 0)


def _named(slot: Any) -> dict[str, Any]:
    """The section that a plug-in was made from, a functools.partial."""
    return {"name": slot.func.__module__.rpartition(".")[2], **slot.keywords}


def _divisor(slot: Any) -> int:
    """What a slot's channels have to be a multiple of."""
    divisor = getattr(slot.func, "divisor", None)
    return divisor(**slot.keywords) if divisor else 1
