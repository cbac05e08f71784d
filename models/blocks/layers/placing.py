"""Slots: which operator stands in which place of which block of a network.

An operator is a class of models/slots, or what makes one, that says in `place` where it goes:
`norm` for each batch norm, norm(channels); `spatial` for the 3x3 of a bottleneck,
spatial(inputs, outputs, stride, size); `branch` on a residual branch before it is added, and
`after` on a block's output, both slot(channels). What stands for it where maps have an axis of
time is its `for_clips`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from models.blocks.ranges import Blocks

__all__ = ["EMPTY", "Slots", "check_blocks", "chosen"]

AFTER = ("branch", "after")


@dataclass(frozen=True)
class Slots:
    """norm, spatial, after: what makes the operators, or None.

    spatial_at, after_at: `all` blocks, the `last` of each stage, or a list with an entry per stage:
    `all`, `last` or the numbers of blocks, counted from 0.
    resolution: pixels of the images, which decide the size of the maps; None where not known.
    """

    norm: Callable[[int], nn.Module] | None = None
    spatial: Callable[..., nn.Module] | None = None
    spatial_at: Blocks = "all"
    after: Callable[[int], nn.Module] | None = None
    after_at: Blocks = "all"
    resolution: int | None = None

    def for_clips(self, depths: Sequence[int]) -> "Slots":
        """The same, checked, for maps (n, c, t, h, w); ValueError for operators of images alone."""
        self.check(depths)
        made = {key: _for_clips(key, getattr(self, key)) for key in ("norm", "spatial", "after")}
        return replace(self, **made)

    def check(self, depths: Sequence[int]) -> None:
        """ValueError for an operator in another's place, and for blocks that the stages lack."""
        for key, places in (("norm", ("norm",)), ("spatial", ("spatial",)), ("after", AFTER)):
            slot = getattr(self, key)
            found = _place(slot, places[0])
            if slot and found not in places:
                raise ValueError(f"{key}: this slot goes into `{found}`: name it there")
        check_blocks("spatial_at", self.spatial_at, depths)
        check_blocks("after_at", self.after_at, depths)

    def of_block(self, stage: int, block: int, depth: int, width: int, stride: int) -> dict:
        """Keyword arguments of a block: `spatial` and `slots`, those of them that it has.

        width: of its output. stride: pixels of the input to one of the block's input map.
        """
        options: dict[str, Any] = {}
        if self.spatial and chosen(self.spatial_at, stage, block, depth):
            # every layer that halves a map rounds up
            side = -(-self.resolution // stride) if self.resolution else None
            options["spatial"] = partial(self.spatial, size=(side, side) if side else None)
        if self.after and chosen(self.after_at, stage, block, depth):
            options["slots"] = {_place(self.after, "after"): self.after(width)}
        return options


EMPTY = Slots()


def check_blocks(key: str, at: Blocks, depths: Sequence[int]) -> None:
    """ValueError for blocks that the stages of these depths lack."""
    if isinstance(at, str):
        return
    if len(at) != len(depths):
        raise ValueError(
            f"{key}: {at} has {len(at)} entries, the network {len(depths)} stages: give "
            "one for each, [] where no block has it"
        )
    for number, (blocks, depth) in enumerate(zip(at, depths, strict=True), 1):
        wrong = [] if isinstance(blocks, str) else [b for b in blocks if b >= depth]
        if wrong:
            raise ValueError(
                f"{key}: stage {number} has {depth} blocks, counted from 0: no {wrong[0]}"
            )


def _for_clips(key: str, slot: Callable | None) -> Callable | None:
    if slot is None:
        return None
    found = getattr(getattr(slot, "func", slot), "for_clips", None)
    if found is None:
        raise ValueError(f"{key}: this slot is for maps of images, and none stands for it in clips")
    return partial(found, **slot.keywords) if isinstance(slot, partial) else found


def _place(slot: Callable | None, default: str) -> str:
    return getattr(getattr(slot, "func", slot), "place", default)


def chosen(at: Blocks, stage: int, block: int, depth: int) -> bool:
    """Whether `at` has a block of a stage, both counted from 0."""
    blocks = at if isinstance(at, str) else at[stage]
    if isinstance(blocks, str):
        return blocks == "all" or block == depth - 1
    return block in blocks
