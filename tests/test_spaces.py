"""Every space: sections that build, and costs that equal those of the networks built."""

import json
import math
import random

import pytest
import torch
import yaml
from torch import nn

from engine.build import build
from engine.complexity import measure
from tests.test_complexity import expressed

SMALL = {
    "name": "regnetx",
    "flops": [1e6, 1e7],
    "depth": [4, 12],
    "w_0": [8, 48],
    "w_a": [4, 48],
    "w_m": [1.5, 3],
    "group_width": [4, 32],
    "stages": [3, 4],
    "resolution": 32,
    "stem_width": 16,
    "stem_stride": 1,
}


class Trial:
    """Optuna's trial as far as spaces use it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def suggest_float(self, name: str, low: float, high: float, log: bool) -> float:
        assert log
        return math.exp(self.random.uniform(math.log(low), math.log(high)))


def counted(section: dict, resolution: int, classes: int) -> dict:
    with torch.device("meta"):
        backbone = build("backbones", section)
        head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=classes) if classes else None
    return measure(nn.Sequential(backbone, head) if head else backbone, (3, resolution, resolution))


@pytest.mark.parametrize(
    ("settings", "classes"),
    [(SMALL, 0), (SMALL | {"resolution": 45, "stem_stride": 2}, 7), ({"name": "regnetx", "flops": [1e8, 1e10]}, 10)],
)
def test_cost_is_what_the_built_network_has(settings, classes):
    space, resolution = build("spaces", settings), settings.get("resolution", 224)
    for seed in range(36):
        section = space.sample(Trial(seed))
        ratios = {"bottleneck_ratio": (1.0, 2.0, 0.5)[seed % 3], "se_ratio": (0.0, 0.25, 0.02)[seed // 3 % 3]}
        assert space.cost(section | ratios, classes) == counted(section | ratios, resolution, classes)


def test_cost_is_that_of_the_authors_table(pack):
    folder = pack("model_tables")
    table = json.loads((folder / "pycls_dev/model_complexity.json").read_text())
    space = build("spaces", {"name": "regnetx", "flops": [1, 2]})
    paths = list(folder.glob("pycls_configs/**/RegNet*.yaml"))
    for path in paths:
        section = expressed(path.stem, yaml.safe_load(path.read_text()))
        assert space.cost(section, 1000) == table[f"configs/{path.relative_to(folder / 'pycls_configs')}"]
    assert len(paths) == 24


@pytest.mark.parametrize("settings", [SMALL, {"name": "regnetx", "flops": [2e8, 8e8], "se_ratio": 0.25}])
def test_contains_keeps_every_limit(settings):
    space = build("spaces", settings)
    sections = [space.sample(Trial(seed)) for seed in range(2000)]
    inside = [section for section in sections if space.contains(section)]
    assert 20 < len(inside) < len(sections)
    stages = [settings.get("stages", 4)] * 2 if "stages" not in settings else settings["stages"]
    for section in inside[:20]:
        with torch.device("meta"):
            backbone = build("backbones", section)
        assert stages[0] <= len(backbone.channels) <= stages[1]
        assert settings["flops"][0] <= space.cost(section)["flops"] <= settings["flops"][1]
        assert section["se_ratio"] == settings.get("se_ratio", 0)
        assert section["w_0"] % 8 == 0 and section["group_width"] in {4, *range(8, 129, 8)}
    assert len({json.dumps(section) for section in inside}) > len(inside) // 2


def test_contains_refuses():
    space = build("spaces", SMALL)
    section = next(s for s in map(space.sample, map(Trial, range(100))) if space.contains(s))
    cost = space.cost(section)
    assert not space.contains(section | {"name": "resnext"})
    assert not space.contains(section | {"depth": 13})
    assert not space.contains(section | {"bottleneck_ratio": 2.0})
    assert not space.contains(section | {"se_ratio": 0.25})
    assert not space.contains(section | {"stem_stride": 2})
    assert not build("spaces", SMALL | {"flops": [1, cost["flops"] - 1]}).contains(section)
    for limit in ("params", "acts"):
        assert not build("spaces", SMALL | {f"{limit}_max": cost[limit] - 1}).contains(section)
        assert build("spaces", SMALL | {f"{limit}_max": cost[limit]}).contains(section)
    wide = build("spaces", SMALL | {"flops": [1, 1e12], "stages": [1, 4]})
    gap = {**section, "depth": 4, "w_0": 8, "w_a": 48, "w_m": 1.5}
    assert not wide.contains(gap), "8, 56, ... skips powers of 1.5"


@pytest.mark.parametrize(
    ("wrong", "fix"), [({"flops": [2, 1]}, "lower one first"), ({"w_0": [8, 50]}, "multiples of 8")]
)
def test_impossible_ranges_are_refused(wrong, fix):
    with pytest.raises(ValueError, match=fix):
        build("spaces", SMALL | wrong)


def test_optuna_draws_from_it():
    optuna = pytest.importorskip("optuna")
    space = build("spaces", SMALL)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    sections = [space.sample(study.ask()) for _ in range(30)]
    assert any(map(space.contains, sections))
