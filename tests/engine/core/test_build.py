"""Sections of params.yaml become calls, and mistakes in them become messages."""

from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest
import torch

from engine.core.build import build, choices, options
from models.blocks.ranges import Count, Listed, Positive, Rising, Seed

KINDS = ["backbones", "heads", "objectives", "policies", "spaces", "metrics"]
REGNET = {"name": "regnet", "depth": 4, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_folder_is_the_registry(kind):
    folder = Path(__file__).parents[3] / (kind if kind == "metrics" else f"models/{kind}")
    assert choices(kind) == sorted(file.stem for file in folder.glob("[a-z]*.py"))


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS[:-1] for name in choices(kind)]
)
def test_plugin_heads_its_file(kind, name):
    module = import_module(f"models.{kind}.{name}")
    assert isinstance(getattr(module, module.__all__[0]), type)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of heads of one's own, in a package of this code's shape."""
    package = f"own{tmp_path.name.replace('-', '_')}"
    heads = tmp_path / package / "models" / "heads"
    heads.mkdir(parents=True)
    for each in (heads, heads.parent, heads.parent.parent):
        (each / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("engine.core.build.PREFIX", f"{package}.")
    return heads


def test_the_class_of_a_file_is_that_of_its_name(folder):
    """Not the first one, nor one of that name that the file has from elsewhere."""
    text = """
from functools import partial as wide_mean
from collections import OrderedDict as Deep
class Helper: ...
class WideMean: ...
class Other: ...
"""
    (folder / "wide_mean.py").write_text(text)
    (folder / "deep.py").write_text(text + "class DEEP: ...\n")
    (folder / "blocks.py").write_text("class Part: ...\n")
    assert choices("heads") == ["deep", "wide_mean"]
    assert type(build("heads", {"name": "wide_mean"})).__name__ == "WideMean"
    assert type(build("heads", {"name": "deep"})).__name__ == "DEEP"
    with pytest.raises(ValueError, match=r"unknown name 'blocks'.*names: deep, wide_mean"):
        build("heads", {"name": "blocks"})


@pytest.mark.parametrize("twin", ["widemean.py", "wide_mean/__init__.py", "wide__mean.py"])
def test_two_plugins_of_one_name_are_refused(folder, twin):
    (folder / "wide_mean.py").write_text("class WideMean: ...\n")
    assert choices("heads") == ["wide_mean"]
    (folder / twin).parent.mkdir(exist_ok=True)
    (folder / twin).write_text("class WideMean: ...\n")
    told = r"heads: 'wide\w*' and 'wide\w*' are two plug-ins of one name: rename one"
    with pytest.raises(ValueError, match=told):
        build("heads", {"name": "wide_mean"})


def test_section_is_a_call():
    net = build("backbones", REGNET | {"stem_width": 24}, where="pretrain.backbone")
    assert type(net).__name__ == "RegNet" and net.stem[0].out_channels == 24
    head = build("heads", {"name": "linear"}, channels=net.channels, classes=3)
    assert head.fc.out_features == 3


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (REGNET | {"name": "regnt"}, ["unknown name 'regnt'", "did you mean 'regnet'", "resnext"]),
        (REGNET | {"name": "../heads/linear"}, ["unknown name"]),
        (REGNET | {"name": "os.path"}, ["unknown name"]),
        (REGNET | {"name": "__init__"}, ["unknown name"]),
        (REGNET | {"name": 7}, ["unknown name 7"]),
        ({"depth": 4}, ["with a name, one of: anynet, botnet, csn, efficientnet, "]),
        (None, ["with a name"]),
        (
            REGNET | {"stem_widht": 8},
            ["unknown key 'stem_widht', did you mean 'stem_width'?", "w_0, w_a"],
        ),
        (
            {"name": "regnet", "w_0": 8, "dept": 3},
            ["missing key 'depth'", "missing key 'w_a'", "did you mean 'depth'"],
        ),
        (
            REGNET | {"w_a": "steep"},
            ["backbone.w_a = 'steep': give a number, no word and no quotes"],
        ),
        (REGNET | {"w_a": "8"}, ["backbone.w_a = '8': give a number, no word and no quotes"]),
        (REGNET | {"w_a": True}, ["backbone.w_a = True: give a number"]),
        (REGNET | {"depth": False}, ["backbone.depth = False: give a number"]),
        (REGNET | {"depth": 4.5}, ["backbone.depth = 4.5", "integer"]),
        (REGNET | {"w_a": float("inf")}, ["backbone.w_a = inf", "finite"]),
        (REGNET | {"w_0": 20}, ["backbone: no RegNet has depth=4, w_0=20", "multiple of 8"]),
        (
            REGNET | {"depht": 3, "w_a": -1},
            ["did you mean 'depth'", "; pretrain.backbone.w_a = -1: "],
        ),
    ],
)
def test_mistakes_are_told(section, says):
    with pytest.raises(ValueError, match=r"^pretrain\.backbone[.:]") as caught:
        build("backbones", section, where="pretrain.backbone")
    assert all(words in str(caught.value) for words in says)


def test_key_that_the_code_sets_is_refused():
    with pytest.raises(ValueError, match="'classes' is set by the code"):
        build("heads", {"name": "linear", "classes": 3}, channels=[8], classes=3)


def stage(
    data: Path,
    rate: float,
    widths: tuple[int, ...] = (),
    copy: bool = False,
    *,
    model_name: str = "",
    untyped=None,
):
    """Keys that a pydantic model could not have as fields."""


def test_options_of_a_plain_function():
    section = {
        "rate": 1e-3,
        "widths": [8, 16],
        "copy": True,
        "model_name": "a",
        "untyped": {"b": [1]},
    }
    found = options(stage, section, "stage", given={"data": Path("x")})
    assert found == section | {"widths": (8, 16)}
    assert options(stage, {"data": "x", "rate": 1}, "stage") == {"data": Path("x"), "rate": 1.0}


def test_faults_inside_a_value_are_located():
    with pytest.raises(ValueError, match=r"^stage\.widths\.1 = 'x': give a number"):
        options(stage, {"rate": 1, "widths": [1, "x"]}, "stage", given={"data": None})


def labelled(
    count: Count | Literal["all"],
    pair: Rising[Positive] | None = None,
    seeds: Listed[Seed] = [0],  # noqa: B006
) -> None:
    """Ranges, of which a fault names neither a type nor a library."""


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (
            {"count": -1},
            "s.count = -1: Input should be greater than or equal to 1, or Input should be 'all'",
        ),
        (
            {"count": "al"},
            "s.count = 'al': give a number, no word and no quotes, or Input should be 'all'",
        ),
        ({"count": 1, "pair": [2, 1]}, "s.pair = [2, 1]: give two numbers, the lower one first"),
        ({"count": 1, "pair": [0, 1]}, "s.pair.0 = 0: Input should be greater than 0"),
        ({"count": 1, "seeds": []}, "s.seeds = []: List should have at least 1 item"),
        ({"count": 1, "seeds": [3, 4, 3]}, "s.seeds = [3, 4, 3]: 3 is listed twice"),
        ({"count": 1, "seeds": [2**31]}, f"s.seeds.0 = {2**31}: Input should be less than {2**31}"),
    ],
)
def test_what_is_out_of_range_is_told_with_its_place(section, says):
    with pytest.raises(ValueError) as caught:
        options(labelled, section, "s")
    assert str(caught.value).startswith(says)
    assert len(str(caught.value)) < 150


def test_a_library_is_given_ranges():
    ranges = {"momentum": Positive}
    with pytest.raises(ValueError, match=r"r\.momentum = -1: Input should be greater than 0"):
        options(torch.optim.SGD, {"momentum": -1}, "r", given={"params": []}, ranges=ranges)


@pytest.mark.parametrize("section", [None, [1], "rate"])
def test_section_must_be_keys_and_values(section):
    with pytest.raises(ValueError, match="expected keys and values: data, rate"):
        options(stage, section, "stage")


def test_options_of_a_library_class():
    found = options(torch.optim.SGD, {"lr": 0.1, "nesterov": True}, "recipe", given={"params": []})
    assert found == {"lr": 0.1, "nesterov": True}
    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        options(torch.optim.SGD, {"momentun": 0.9}, "recipe", given={"params": []})
