"""Every number of params.yaml, and of the signatures that take it, has a range."""

import copy
import inspect
import math
import re
import time
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any

import pytest
import yaml

from engine.core.build import choices, options, plugin
from engine.training.optimizers import FROM, called
from engine.training.recipe import Recipe
from flows.cli import validate, validate_search
from flows.running import settings
from flows.searching.search import Retrain
from tests.support import params
from tests.support.params import PARAMS

WRONG = {"-1e9": -1e9, "nan": math.nan, "inf": math.inf, "a word": "a word", "true": True}


def leaves(section: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of each number of a section, at any depth; true and false are none."""
    steps = section.items() if isinstance(section, dict) else ()
    if isinstance(section, list | tuple):
        steps = enumerate(section)
    for key, value in steps:
        yield from leaves(value, (*path, key))
    if isinstance(section, int | float) and not isinstance(section, bool):
        yield path


def with_value(section: Any, path: tuple, value: Any) -> Any:
    """A copy of a section with another value at a path."""
    section = place = copy.deepcopy(section)
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return section


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params.committed()


@pytest.fixture(scope="module", autouse=True)
def imported():
    """What the check imports is not what it takes."""
    validate.validate()


def dotted(path: tuple) -> str:
    """As a message has it; a value of the grid by its list."""
    return ".".join(map(str, path[:4] if path[2:3] == ("grid",) else path))


@pytest.mark.parametrize("path", list(leaves(PARAMS)), ids=dotted)
def test_a_number_of_params_yaml_out_of_its_range_is_told_with_its_place(folder, path):
    for wrong in WRONG.values():
        settings.PARAMS.write_text(yaml.safe_dump(with_value(PARAMS, path, wrong)))
        began = time.process_time()
        with pytest.raises(ValueError) as told:
            validate.validate()
        assert time.process_time() - began < 1, "of the processor, whatever runs beside it"
        assert dotted(path) in str(told.value)
        assert str(told.value).count("\n") == 0 and "pydantic" not in str(told.value)


MORE = {  # a value of what has no default, or none that is a number
    "depth": 4, "depths": [1] * 4, "widths": [8] * 4, "w_0": 16, "w_a": 8.0, "w_m": 2.5,
    "group_width": 8, "bottleneck_ratios": [1] * 4, "group_widths": [8] * 4,
    "flops": [1e6, 2e6], "params": [1e4, 2e4],
    "acts": [1e4, 2e4], "se_ratio": 0.25, "user_cap": 3, "trials": 3, "hours": 1.5, "images": 1000,
    "latency_ms": [1.0, 2.0], "start": 0.1, "micro": 8, "clip": 1.0, "ema": 0.9, "seeds": [0, 1],
    "decay_end": 0.4, "hidden": 8, "size": 16, "small_size": 8,
    "sizes": [32], "labels": [20], "resolution": 32, "freeze": 2,
    "frames": 8, "filters": [1], "out": [0], "drop": 0.1, "drop_path": 0.1,
    "within": 4, "short": [16, 20], "side": 16, "spatial_strides": [1] * 4, "time_strides": [1] * 4,
    "temporal": [[1], [3]], "temporal_at": [[0]], "stuff_area": 4096.0,
    "shorter": [32, 48], "longer": 64, "test_shorter": 40, "canvas": 64,
    "spatial_at": [[0]], "after_at": [[0]], "attention_at": [[0]], "context_at": [[0]],
}  # fmt: skip
ALSO = {
    "efficientnet": {"depth": 1.0, "depths": [1] * 7, "widths": [8] * 7},
    "resampling": {"length": 1.5},
}
LINEAR = {"depth": [4, 8], "w_0": [8, 16], "w_a": [4, 8], "w_m": [2, 3], "group_width": [4, 8]}
ALSO |= {"regnetx": LINEAR, "regnety": LINEAR, "slots": LINEAR}
ALSO["knn"] = {"samples": 9}
ALSO["byol"] = {"temperature": 0.5}
ALSO["materialise"] = {"labels": 20}
ALSO["Optuna"] = {"mutation_prob": 0.5, "max_resource": 9, "lower": 0.5, "upper": 90.0}
ALSO |= {f"anynetx{letter}": {"depths": [1, 2], "widths": [8, 16]} for letter in "abcde"}
GIVEN = (
    "backbone",
    "head",
    "channels",
    "strides",
    "classes",
    "module",
    "training",
    "task",
    "candidate",
    "optimizer",
    "mean",
    "std",
)


def signatures() -> dict[str, Any]:
    """Every function whose parameters are keys of params.yaml."""
    modules = {name: import_module(f"flows.{name}") for name in settings.STAGES}
    found = {name: inspect.unwrap(getattr(module, name)) for name, module in modules.items()}
    found |= {
        "Recipe": Recipe,
        "Retrain": Retrain,
        "resampling": validate.resampling,
    }
    found |= {"Optuna": validate_search.optuna_numbers}
    for kind in ("backbones", "heads", "objectives", "views", "spaces", "policies", "metrics"):
        found |= {name: plugin(kind, name, kind) for name in choices(kind)}
    return found


def sample(name: str, function: Any) -> dict[str, Any]:
    """A right value of each parameter that may hold numbers."""
    values = {}
    for key, parameter in inspect.signature(function).parameters.items():
        value = (MORE | ALSO.get(name, {})).get(key, parameter.default)
        if key not in GIVEN and value is not parameter.empty and any(True for _ in leaves(value)):
            values[key] = list(value) if isinstance(value, tuple) else value
    return values


NUMBERS = [(name, path) for name, f in signatures().items() for path in leaves(sample(name, f))]


def named(part: str | tuple) -> str:
    return part if isinstance(part, str) else dotted(part)


@pytest.mark.parametrize(("name", "path"), NUMBERS, ids=named)
def test_a_number_of_a_signature_has_a_range(name, path):
    function, key = signatures()[name], path[0]
    others = tuple(set(inspect.signature(function).parameters) - {key})
    right = {key: sample(name, function)[key]}
    assert options(function, right, "section", others)
    for wrong in WRONG.values():
        with pytest.raises(ValueError, match=r"^section\." + key):
            options(function, with_value(right, path, wrong), "section", others)


def test_no_parameter_that_takes_a_number_is_left_out():
    seen = {(name, path[0]) for name, path in NUMBERS}
    for name, function in signatures().items():
        for key, parameter in inspect.signature(function).parameters.items():
            number = re.search(r"\b(int|float)\b", str(parameter.annotation))
            if number and key not in GIVEN:
                assert (name, key) in seen, f"{name}.{key}: give it a value in MORE"


SETTINGS = [
    ("sgd", {"momentum": 0.9, "dampening": 0.1}),
    ("adamw", {"betas": [0.9, 0.99], "eps": 1e-8}),
    ("lars", {"momentum": 0.9, "dampening": 0.1, "trust_coeff": 0.001, "eps": 1e-8}),
    ("lamb", {"betas": [0.9, 0.99], "eps": 1e-6, "max_grad_norm": 1.0}),
]


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=FROM)
def test_the_numbers_of_an_optimizer_have_ranges(name, settings):
    for path in leaves(settings):
        for wrong in WRONG.values():
            recipe = Recipe(optimizer={"name": name} | with_value(settings, path, wrong))
            with pytest.raises(ValueError, match=rf"^pretrain\.recipe\.optimizer\.{path[0]}"):
                called(recipe, "pretrain.recipe.optimizer")


def test_every_field_of_a_recipe_is_looked_at_in_a_grid(folder):
    wrong = {field.name: [] for field in fields(Recipe)} | {
        "optimizer": {"name": "adam"},
        "undecayed": 1,
    }
    for name, value in wrong.items():
        wrong_value = with_value(PARAMS, ("tasks", "scenes", "grid", name), [value])
        settings.PARAMS.write_text(yaml.safe_dump(wrong_value))
        with pytest.raises(ValueError, match=rf"^tasks\.scenes\.grid\.{name}"):
            validate.validate()
