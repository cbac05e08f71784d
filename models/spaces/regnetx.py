"""RegNetX, the design space of networks with quantised linear widths.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv 2003.13678, sections 3.3
and 4. The default ranges and the step of each parameter are those of the authors' sampler (pycls).
"""

from math import log2

from models.blocks.anynet import fit_groups, quantised_stages

__all__ = ["RegNetX"]


class RegNetX:
    """Sections of params.yaml for `backbones/regnet`, within `flops` multiply-adds of the body at `resolution` pixels.

    Ranges are (lowest, highest), both included. params_max and acts_max bound the body too, 0 meaning no bound.
    se_ratio 0.25 makes it the space of RegNetY.
    """

    def __init__(
        self,
        flops: tuple[float, float],
        depth: tuple[int, int] = (12, 28),
        w_0: tuple[int, int] = (8, 256),
        w_a: tuple[float, float] = (8.0, 256.0),
        w_m: tuple[float, float] = (2.0, 3.0),
        group_width: tuple[int, int] = (8, 128),
        stages: int | tuple[int, int] = 4,
        resolution: int = 224,
        stem_width: int = 32,
        stem_stride: int = 2,
        params_max: float = 0,
        acts_max: float = 0,
        se_ratio: float = 0.0,
    ) -> None:
        self.ranges = {"depth": depth, "w_0": w_0, "w_a": w_a, "w_m": w_m, "group_width": group_width}
        for name, (low, high) in {**self.ranges, "flops": flops}.items():
            if not 0 < low <= high:
                raise ValueError(f"{name}: [{low}, {high}] is no range: give two positive numbers, the lower one first")
        if w_0[0] % 8 or w_0[1] % 8:
            raise ValueError(f"w_0: {list(w_0)} must be multiples of 8, for RegNet widths are")
        self.flops, self.resolution = flops, resolution
        self.stages = (stages, stages) if isinstance(stages, int) else stages
        self.fixed = {"name": "regnet", "bottleneck_ratio": 1.0, "se_ratio": se_ratio}
        self.fixed |= {"stem_width": stem_width, "stem_stride": stem_stride}
        self.limits = {"params": params_max or float("inf"), "acts": acts_max or float("inf")}

    def sample(self, trial) -> dict:
        """A section drawn through an Optuna trial: depth uniformly, the others log-uniformly and then rounded.

        It may lie outside the space: ask `contains`.
        """
        low, high = self.ranges["group_width"]
        g = trial.suggest_float("group_width", low, high, log=True)
        drawn = {
            "depth": trial.suggest_int("depth", *self.ranges["depth"]),
            "w_0": 8 * round(trial.suggest_float("w_0", *self.ranges["w_0"], log=True) / 8),
            "w_a": round(trial.suggest_float("w_a", *self.ranges["w_a"], log=True), 1),
            "w_m": round(trial.suggest_float("w_m", *self.ranges["w_m"], log=True), 3),
            # powers of two below 8, multiples of 8 from there
            "group_width": 8 * round(g / 8) if g > 6 else 2 ** round(log2(g)),
        }
        return {**self.fixed, **drawn}

    def contains(self, section: dict) -> bool:
        """Whether a section is in every range, has the stages, skips no power of w_m, and keeps within the limits."""
        if any(section.get(key, value) != value for key, value in self.fixed.items()):
            return False
        if not all(low <= section[key] <= high for key, (low, high) in self.ranges.items()):
            return False
        widths, _, skips = quantised_stages(*(section[key] for key in ("depth", "w_0", "w_a", "w_m")))
        if skips or not self.stages[0] <= len(widths) <= self.stages[1]:
            return False
        cost = self.cost(section)
        return self.flops[0] <= cost["flops"] <= self.flops[1] and all(cost[k] <= v for k, v in self.limits.items())

    def cost(self, section: dict, classes: int = 0) -> dict[str, int]:
        """{"flops", "params", "acts"} of the body and of a linear head if classes are given, without building it.

        Rule: multiply-adds of conv and linear, outputs of conv and linear, all parameters (pycls).
        """
        return _cost(self.resolution, classes, **{k: v for k, v in section.items() if k != "name"})


def _cost(
    resolution: int,
    classes: int,
    depth: int,
    w_0: int,
    w_a: float,
    w_m: float,
    group_width: int,
    bottleneck_ratio: float = 1.0,
    se_ratio: float = 0.0,
    stem_width: int = 32,
    stem_stride: int = 2,
) -> dict[str, int]:
    """Complexity in closed form; options and defaults as RegNet's (a test holds the two together)."""
    widths, depths, _ = quantised_stages(depth, w_0, w_a, w_m)
    b = [bottleneck_ratio] * len(widths)
    widths, group_widths = fit_groups(widths, b, [group_width] * len(widths))
    side, w_in = -(-resolution // stem_stride), stem_width
    flops, params, acts = 27 * w_in * side**2, 29 * w_in, w_in * side**2
    for w, d, g in zip(widths, depths, group_widths, strict=True):
        v = round(w / bottleneck_ratio)
        larger, side = side**2, -(-side // 2)
        # weights met on the map before the stride, and after it
        before, after = w_in * v, 9 * v * g + v * w + w_in * w + (d - 1) * (2 * v * w + 9 * v * g)
        channels = v + 2 * w + (d - 1) * (2 * v + w)
        flops += before * larger + after * side**2
        params += before + after + 2 * (v + channels)
        acts += v * larger + channels * side**2
        squeezed = [c for c in (round(w_in * se_ratio), *[round(w * se_ratio)] * (d - 1)) if c]
        gates = sum((2 * v + 1) * c + v for c in squeezed)
        flops, params, acts = flops + gates, params + gates, acts + sum(v + c for c in squeezed)
        w_in = w
    return {"flops": flops + (w_in + 1) * classes, "params": params + (w_in + 1) * classes, "acts": acts + classes}
