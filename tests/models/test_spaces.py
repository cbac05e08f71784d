"""Every space: draws that are its members, and costs that equal those of the networks built."""

import json
import math
import time
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import chisquare, ks_2samp
from torch import nn

from engine.core.build import build, choices
from engine.measure.complexity import measure
from models.blocks.design.axes import Axis
from models.blocks.design.regnet import quantised
from models.blocks.design.scaling import scaled
from models.blocks.layers.anynet import quantised_stages
from tests.engine.measure.test_complexity import expressed

IMAGES = {"resolution": 32, "stem_width": 16, "stem_stride": 1}
ANYNET = IMAGES | {"depths": [1, 3], "widths": [8, 96], "bottleneck_ratios": [0.5, 1, 2, 4]}
REGNET = IMAGES | {
    "depth": [4, 12],
    "w_0": [8, 48],
    "w_a": [4, 48],
    "w_m": [1.5, 3],
    "group_width": [4, 32],
}
REGNET |= {"stages": [3, 4]}
SMALL = {
    name: {"name": name} | (ANYNET if name.startswith("anynet") else REGNET)
    for name in choices("spaces")
}
SMALL["slots"] |= {
    "norms": [{"name": "group_norm", "groups": 4}],
    "spatials": [
        {"name": "gnconv", "order": 2},
        {"name": "gnconv", "order": 3, "kind": "global"},
        {"name": "bot_attention", "heads": 2},
        {"name": "halo_attention", "block": 4, "halo": 1},
    ],
    "afters": [
        {"name": "global_context"},
        {"name": "denoise", "kind": "dot"},
        {"name": "non_local", "kind": "concatenation", "subsample": True},
    ],
    "slot_stages": [1, 4],
}
BANDS = {"flops": [1e6, 1e7], "acts": [2e4, 2e5], "params": [1e4, 3e5]}
NESTED = ["anynetxa", "anynetxb", "anynetxc", "anynetxd", "anynetxe"]

every = pytest.mark.parametrize("name", SMALL)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(space, n: int, seed: int = 0) -> list[dict]:
    return [space.section(values) for values in space.draw(n, seeded(seed))]


def costs_of(space, values: dict, classes: int = 0) -> dict:
    """Costs of the networks with these values of the axes, in closed form."""
    values, stages = space.stages(values, Counter())
    return space.costs(values, stages, classes=classes)


def classifier(section: dict, classes: int) -> nn.Module:
    with torch.device("meta"):
        backbone = build("backbones", section)
        head = (
            build("heads", {"name": "linear"}, channels=backbone.channels, classes=classes)
            if classes
            else None
        )
    return nn.Sequential(backbone, head) if head else backbone


@every
@pytest.mark.parametrize(
    ("more", "classes"),
    [
        ({"se_ratio": 0.0}, 0),
        ({"se_ratio": 0.25, "resolution": 45, "stem_stride": 2}, 7),
        ({"se_ratio": 0.02, "resolution": 37}, 1),
    ],
)
def test_cost_is_what_the_built_network_has(name, more, classes):
    if name.startswith("regnet"):
        more = more | {"bottleneck_ratio": [0.5, 1, 2, 4]}
    space = build("spaces", SMALL[name] | more)
    # of slots once so many that each choice is met
    number = 16 if name == "slots" and not classes else 5
    found = space.drawn(number, seeded())
    costs = costs_of(space, found, classes)
    for i, section in enumerate(drawn(space, number)):
        counted = measure(classifier(section, classes), (3, space.resolution, space.resolution))
        assert (
            space.cost(section, classes)
            == counted
            == {kind: counts[i] for kind, counts in costs.items()}
        )


def test_cost_is_that_of_the_authors_table(pack):
    folder = pack("model_tables")
    table = json.loads((folder / "pycls_dev/model_complexity.json").read_text())
    space = build("spaces", {"name": "regnetx"})
    paths = list(folder.glob("pycls_configs/**/RegNet*.yaml"))
    for path in paths:
        section = expressed(path.stem, yaml.safe_load(path.read_text()))
        assert (
            space.cost(section, 1000)
            == table[f"configs/{path.relative_to(folder / 'pycls_configs')}"]
        )
    assert len(paths) == 24


def test_costs_of_any_regnet():
    space = build("spaces", {"name": "regnetx", "resolution": 64, "stages": [1, 9]})
    for section in (
        {"depth": 3, "w_0": 8, "w_a": 0, "w_m": 2.5},
        {"depth": 5, "w_0": 8, "w_a": 90, "w_m": 1.5},
    ):
        section = {"name": "regnet", "group_width": 8, **section}
        assert space.cost(section) == measure(classifier(section, 0), (3, 64, 64)), (
            "its defaults are the backbone's"
        )
        assert not space.contains(section)


@every
def test_draws_are_different_members(name):
    space = build("spaces", SMALL[name] | BANDS)
    values = space.draw(300, seeded())
    assert values == space.draw(300, seeded()) and values[:7] == space.draw(
        7, seeded()
    ) != space.draw(7, seeded(1))
    assert len({json.dumps(one) for one in values}) == 300 and {
        type(v) for v in values[0].values()
    } <= {int, float}
    for section in map(space.section, values[::3]):  # to look at each takes longer than to draw
        assert space.contains(section)
        assert all(
            BANDS[kind][0] <= cost <= BANDS[kind][1] for kind, cost in space.cost(section).items()
        )
    assert space.contains(yaml.safe_load(yaml.safe_dump(section)))
    backbone = build("backbones", section)
    assert len(backbone.channels) in (3, 4) and sum(p.numel() for p in backbone.parameters()) >= 1e4


@every
def test_optuna_suggests_what_was_drawn(name):
    optuna = pytest.importorskip("optuna")
    space = build("spaces", SMALL[name])
    for values in space.draw(20, seeded()):
        assert space.sample(optuna.trial.FixedTrial(values)) == space.section(values)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    sections = [space.sample(study.ask()) for _ in range(40)]
    assert any(map(space.contains, sections)) and (name in NESTED) <= all(
        map(space.contains, sections)
    )


@every
def test_neighbours_are_one_step_away(name):
    space = build("spaces", SMALL[name] | BANDS)
    for section in drawn(space, 2):
        near = space.neighbours(section)
        assert len(near) > 2
        for other in near:
            assert space.contains(other) and section in space.neighbours(other)
            before, after = space.values(section), space.values(other)
            ((column, axis),) = [(c, a) for c, a in space.columns.items() if before[c] != after[c]]
            places = axis.places(np.array([before[column], after[column]]))
            assert abs(places[0] - places[1]) == 1


@every
def test_the_same_network_stage_by_stage(name):
    space = build("spaces", SMALL[name])
    other = build("spaces", SMALL["anynetxa"])
    for section in drawn(space, 3):
        stages = space.as_anynet(section)
        ours, theirs = (classifier(one, 0).state_dict() for one in (section, stages))
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
        assert other.as_anynet(stages) == stages
        if name == "slots":
            with pytest.raises(ValueError, match="AnyNetXA knows no costs of slots"):
                other.cost(stages | {"after": {"name": "denoise"}})
        else:
            assert space.cost(section) == other.cost(stages)


@every
def test_contains_refuses(name):
    space = build("spaces", SMALL[name] | BANDS)
    section = drawn(space, 1)[0]
    first, *_ = space.columns
    below = space.values(section) | {first: space.columns[first].values[0].item() - 1}
    wrong = [
        section | {key: value}
        for key, value in [("name", "resnext"), ("se_ratio", 0.5), ("stem_stride", 2), ("x", 1)]
    ]
    wrong += [space.section(below), {k: v for k, v in section.items() if k[0] != "d"}, {}]
    wrong += [{k: v[:2] if isinstance(v, list) else None for k, v in section.items()}]
    assert not any(map(space.contains, wrong))
    for kind, count in space.cost(section).items():
        assert build("spaces", SMALL[name] | {kind: [count, count]}).contains(section)
        assert not build("spaces", SMALL[name] | {kind: [1, count - 1]}).contains(section)
        assert not build("spaces", SMALL[name] | {kind: [count + 1, 1e12]}).contains(section)


def test_slots_are_named_once_and_where_they_fit():
    space = build("spaces", SMALL["slots"])
    found, stages = space.stages(space.drawn(300, seeded()), Counter())
    for key in ("spatial", "after"):
        assert set(found[key]) == set(space.columns[key].values)
        assert (found[f"{key}_stages"][found[key] == 1] == 1).all()
        assert set(found[f"{key}_stages"]) == {1, 2, 3, 4}
        assert (found[f"{key}_stages"] <= (stages.depths > 0).sum(0)).all()
    sections = drawn(space, 50)
    kinds = [section["spatial_at"] for section in sections if "spatial" in section]
    assert [[], [], "all"] in kinds and ["all"] * 4 in kinds
    plain = build("spaces", {**SMALL["slots"], "spatials": [], "norms": [], "afters": []})
    regnets = build("spaces", SMALL["regnetx"])
    assert all(map(regnets.contains, drawn(plain, 20)))
    assert not regnets.contains(next(one for one in sections if "after" in one))
    with pytest.raises(LookupError, match="is no choice of this space"):
        plain.cost(next(one for one in sections if "after" in one))
    odd = {
        "bottleneck_ratio": [4.0],
        "group_width": [1, 2],
        "spatials": [{"name": "halo_attention"}],
    }
    for section in drawn(build("spaces", {**SMALL["slots"], **odd}), 20):
        build("backbones", section)


def test_regnets_that_skip_are_no_members():
    space = build("spaces", SMALL["regnetx"] | {"stages": [1, 4]})
    section = drawn(space, 1)[0] | {"depth": 4, "w_0": 8, "w_a": 48.0, "w_m": 1.5}
    assert quantised_stages(4, 8, 48, 1.5)[2] and not space.contains(section), (
        "8, 56, ... skips powers of 1.5"
    )


@pytest.mark.parametrize(("outer", "inner"), list(pairwise(NESTED)))
def test_each_anynetx_is_within_the_one_before(outer, inner):
    outer, inner = (
        build("spaces", {"name": name, "flops": [3.6e8, 4e8]}) for name in (outer, inner)
    )
    assert all(map(outer.contains, drawn(inner, 100)))
    assert sum(map(inner.contains, drawn(outer, 100))) < 50


@pytest.mark.parametrize(
    ("section", "size"),
    [
        ({"name": "anynetxa"}, (16 * 128 * 3 * 6) ** 4),  # 1.8e18
        ({"name": "anynetxb"}, (16 * 128 * 6) ** 4 * 3),  # 6.8e16
        ({"name": "anynetxc"}, (16 * 128) ** 4 * 3 * 6),  # 3.2e14
        ({"name": "anynetxd"}, (16 * 128) ** 4 * 3 * 6 / 24),  # 1.3e13
        ({"name": "anynetxe"}, (16 * 128) ** 4 * 3 * 6 / 24**2),  # 5.5e11
        ({"name": "regnetx"}, 17 * 32 * 2481 * 1001 * 16),
    ],
)
def test_sizes_are_the_papers(section, size):
    assert build("spaces", section).size() == size


def test_size_of_regnet_is_the_papers():
    choices = {"group_width": [1, 2, 4, 8, 16, 32], "bottleneck_ratio": [1, 2, 4]}
    assert build("spaces", {"name": "regnetx", **choices}).size(levels=64) == 64**4 * 6 * 3  # 3.0e8


def test_resnext_is_a_point_of_anynetx():
    options = {
        "depths": [3, 4, 6, 3],
        "widths": [256, 512, 1024, 2048],
        "group_widths": [4, 8, 16, 32],
    }
    section = {"name": "anynet", **options, "bottleneck_ratios": [2] * 4, "stem_width": 64}
    resnext = {"name": "resnext", "depths": [3, 4, 6, 3], "stem": "simple", "stem_width": 64}
    ours, theirs = (classifier(one, 1000).state_dict() for one in (section, resnext))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    contained = [
        build("spaces", {"name": s, "widths": [8, 2048], "stem_width": 64}).contains(section)
        for s in NESTED
    ]
    assert contained == [True, True, False, False, False], (
        "its group widths double from stage to stage"
    )


def test_quantised_at_once_is_quantised_one_by_one():
    space = build(
        "spaces", {"name": "regnetx", "depth": [1, 28], "w_m": [1.5, 3], "stages": [1, 20]}
    )
    rng = np.random.default_rng(0)
    found = [axis.values[axis.draw(20_000, rng)[0]] for axis in space.axes[:4]]
    # sqrt(2.25) = 1.5 = (24 + 12) / 24, and the like: a power of one half, rounded to even save for
    # the noise of log
    ties = list(
        product(
            range(1, 20),
            range(8, 65, 8),
            (4.0, 8.0, 12.0, 13.5, 24.0, 48.0),
            (1.5, 2.25, 2.5, 2.56, 2.89),
        )
    )
    found = [
        np.concatenate([array, tie]) for array, tie in zip(found, np.array(ties).T, strict=True)
    ]
    found[:2] = [array.astype(int) for array in found[:2]]
    most = 5
    depths, widths, skips = quantised(*found, most)
    rows = zip(*(array.tolist() for array in (*found, depths.T, widths.T, skips)), strict=True)
    for *parameters, runs, row, skipping in rows:
        expected, lengths, skipped = quantised_stages(*parameters)
        assert skipping == (skipped or len(expected) > most), parameters
        if not skipping:
            assert ([r for r in runs if r], row[: len(expected)]) == (lengths, expected), parameters
    assert 0.2 < skips.mean() < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_ordered_draws_are_those_that_rejection_leaves(seed):
    axis = Axis.steps(["w_1", "w_2", "w_3"], (8, 40), 8, "log", ordered=True)
    counts = Counter(map(tuple, axis.draw(100_000, np.random.default_rng(seed)).T.tolist()))
    chances = {
        row: axis.chances[list(row)].prod()
        for row in product(range(5), repeat=3)
        if list(row) == sorted(row)
    }
    assert counts.keys() == chances.keys() and len(chances) == 35
    expected = np.array(list(chances.values()))
    observed = [counts[row] for row in chances]
    assert chisquare(observed, 100_000 * expected / expected.sum()).pvalue > 1e-3


def log_uniform(
    rng: np.random.Generator, low: float, high: float, step: float, n: int
) -> np.ndarray:
    """The authors' quantised draw: pycls/sweep/random.py."""
    return (
        np.ceil(np.exp(rng.uniform(np.log(low - min(step, low / 2)), np.log(high), n)) / step)
        * step
    )


@pytest.mark.parametrize("seed", range(3))
def test_draws_follow_plain_rejection(seed):
    rng, band = np.random.default_rng(seed), (5e7, 2e8)
    space = build(
        "spaces", {"name": "anynetxe", "flops": band, "bottleneck_ratios": [1], "group_widths": [8]}
    )
    d, w = (log_uniform(rng, *limits, (300_000, 4)) for limits in ((1, 16, 1), (8, 1024, 8)))
    ordered = (np.diff(d) >= 0).all(1) & (np.diff(w) >= 0).all(1)
    rows = np.concatenate([d, w], 1)[ordered].astype(int)
    values = dict(
        zip(space.columns, [*rows.T, np.ones(len(rows), int), np.full(len(rows), 8)], strict=True)
    )
    flops = costs_of(space, values)["flops"]
    kept = rows[(flops >= band[0]) & (flops <= band[1])]
    found = space.drawn(4000, seeded(seed))
    assert len(kept) > 60
    assert (
        min(
            ks_2samp(found[column], row).pvalue
            for column, row in zip(space.columns, kept.T, strict=False)
        )
        > 1e-3
    )


@pytest.mark.parametrize("seed", range(2))
def test_regnets_follow_the_authors_sampler(seed):
    rng, n, band = np.random.default_rng(seed), 20_000, (3e8, 6e8)
    space = build("spaces", {"name": "regnetx", "flops": band})
    ranges = {
        "w_0": (8, 256, 8),
        "w_a": (8, 256, 0.1),
        "w_m": (2, 3, 0.001),
        "group_width": (8, 128, 8),
    }
    columns = {"depth": rng.integers(12, 29, n)} | {
        c: log_uniform(rng, *limits, n) for c, limits in ranges.items()
    }
    kept = []
    for d, w_0, w_a, w_m, g in np.stack(list(columns.values()), 1).tolist():
        row = {"depth": int(d), "w_0": round(w_0), "w_a": round(w_a, 1), "w_m": round(w_m, 3)}
        widths, _, skips = quantised_stages(**row)
        row |= {"group_width": round(g), "bottleneck_ratio": 1.0}
        if len(widths) != 4 or skips:
            continue
        if band[0] <= space.cost(space.section(row))["flops"] <= band[1]:
            kept.append(row)
    found = space.drawn(4000, seeded(seed))
    assert len(kept) > 150
    for column in columns:
        assert ks_2samp(found[column], [row[column] for row in kept]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "band", "reason"),
    [
        ("anynetxa", [1, 2], "too many flops"),
        ("regnetx", [1e15, 1e16], "too few flops"),
        ("regnetx", [3.6e8, 3.6e8 + 1000], "with another number of stages"),
    ],
)
def test_a_band_without_networks_is_refused_soon(name, band, reason):
    begun = time.monotonic()
    with pytest.raises(
        ValueError, match=rf"found \d+ of 100000 .* [\d,]+ draws.*[\d,]+ {reason}.*quartiles.*widen"
    ):
        build("spaces", {"name": name, "flops": band}).draw(100_000, seeded())
    assert time.monotonic() - begun < 60


def test_all_of_a_small_space_is_found_and_no_more():
    tiny = {
        "name": "anynetxd",
        "depths": [1, 1],
        "widths": [8, 16],
        "stages": 3,
        "bottleneck_ratios": [1],
    }
    space = build("spaces", tiny | {"group_widths": [8]})
    assert sorted(tuple(one.values())[3:6] for one in space.draw(4, seeded())) == [
        (8, 8, 8),
        (8, 8, 16),
        (8, 16, 16),
        (16,) * 3,
    ]
    with pytest.raises(ValueError, match=r"found 4 of 5 .*drawn before"):
        space.draw(5, seeded())


def test_no_number_of_stages_is_refused():
    with pytest.raises(
        ValueError, match="with another number of stages; no network meets the constraints"
    ):
        build("spaces", SMALL["regnetx"] | {"stages": 12}).draw(1, seeded())


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ({"name": "regnetx", "flops": [2, 1]}, "lower one first"),
        ({"name": "regnetx", "w_0": [8, 50]}, "multiples of 8"),
        ({"name": "regnetx", "w_a": [48, 8]}, "the lower one first"),
        ({"name": "regnetx", "w_a": [8, math.inf]}, r"w_a\.1 = inf: Input should be a finite"),
        ({"name": "regnetx", "stages": [4, 3]}, "the lower one first"),
        ({"name": "anynetxb", "acts": [0, 1]}, r"acts\.0 = 0: Input should be greater than 0"),
        ({"name": "anynetxb", "widths": [8, math.inf]}, "widths"),
        ({"name": "anynetxb", "bottleneck_ratios": [1.5]}, "whole numbers"),
        ({"name": "anynetxb", "group_widths": []}, "positive, different"),
        ({"name": "anynetxb", "stages": 0}, "stages = 0: Input should be greater"),
    ],
)
def test_impossible_ranges_are_refused(wrong, fix):
    with pytest.raises(ValueError, match=fix):
        build("spaces", wrong)


@pytest.mark.parametrize("name", ["anynetxc", "regnetx"])
def test_scaled_networks_cost_as_much_more(name):
    space = build("spaces", {"name": name, "flops": [3e8, 5e8]})
    for values in space.draw(3, torch.Generator().manual_seed(0)):
        section = space.section(values)
        network = space.as_anynet(section)
        larger, resolution = scaled(network, space.resolution, 4, "d1_w8_g8_r1")
        grown = (
            measure(classifier(larger, 0), (3, resolution, resolution))["flops"]
            / space.cost(section)["flops"]
        )
        assert 2.4 < grown < 6.5 and resolution == 240, "widths are rounded to their groups"
