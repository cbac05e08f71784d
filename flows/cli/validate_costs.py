"""One size of images for all stages: the search prices networks at the size they are trained at."""

from math import ceil, floor, log2
from typing import Any

import torch

from engine.core.build import build, located
from engine.measure.complexity import measure
from flows.running.settings import SIZE
from flows.searching import checks

AFAR = 2.0  # times a band's end, from which on a reference is no longer of about the same cost
DRAWN = 16  # networks that a space must have; a search of fewer draws fewer


def validate_costs(params: dict[str, Any], section: dict[str, Any]) -> None:
    """ValueError where space, reference and corpus.size do not go together, with values that do.

    params: of the whole file. section: search, complete, with the section of its reference.
    """
    size, space = params["corpus"].get("size", SIZE), section["space"]
    if space["resolution"] != size:
        raise ValueError(
            f"search.space.resolution is {space['resolution']}, corpus.size {size}: networks would "
            "be priced at one size and trained at the other: take search.space.resolution away, it "
            "then is corpus.size"
        )
    winner = section["reference"]["name"]
    if section["trials"] != 0:
        compare_reference(section, size)
        made = build("spaces", space, where="search.space")
        generator = torch.Generator().manual_seed(section["seed"])
        with located("search.space"):
            [first, *_] = made.draw(min(section["trials"] or 1, DRAWN), generator)
        winner = made.section(first)["name"]
    checks.check_winner(params["candidates"], winner)


def multiply_adds(reference: dict[str, Any], size: int) -> int:
    """Multiply-adds of a backbone for one image of `size` pixels."""
    with torch.device("meta"):
        network = build("backbones", reference, where="search.reference")
        return measure(network, (3, size, size))["flops"]


def compare_reference(section: dict[str, Any], size: int) -> None:
    """ValueError where the reference costs far more or less than what it is compared with."""
    space, reference = section["space"], section["reference"]
    if not space.get("flops"):
        return
    found, (low, high) = multiply_adds(reference, size), space["flops"]
    if low / AFAR <= found <= high * AFAR:
        return
    factor = 2.0 ** (ceil(log2(found / high)) if found > high else floor(log2(found / low)))
    bands = {"flops": [min(low * factor, found), max(high * factor, found)]}
    if space.get("acts"):
        bands["acts"] = [space["acts"][0], space["acts"][1] * factor]
    written = ", ".join(f"{name}: [{ends[0]:.2g}, {ends[1]:.2g}]" for name, ends in bands.items())
    raise ValueError(
        f"search.reference costs {found / 1e6:.3g} M multiply-adds at corpus.size {size}, and "
        f"search.space.flops is {low / 1e6:g} to {high / 1e6:g} M: networks are compared that cost "
        f"about the same. Either write search.space: {{{written}}}{_strided(section, size)}"
    )


def _strided(section: dict[str, Any], size: int) -> str:
    """The other way: coarser stems, by which larger images cost what smaller ones did."""
    space, reference = section["space"], section["reference"]
    low, high = space["flops"]
    for times in (2, 4):
        stride = times * reference.get("stem_stride", 2)
        # the largest that a stem takes (Stride in models/blocks/ranges.py)
        if stride > 16:
            break
        found = multiply_adds(reference | {"stem_stride": stride}, size)
        if low / AFAR <= found <= high * AFAR:
            own = times * space.get("stem_stride", 2)
            return (
                f", or, for {found / 1e6:.3g} M, search.reference: {{stem_stride: {stride}}} and "
                f"search.space: {{stem_stride: {own}}}"
            )
    return ""
