"""One size of images: what the search prices its networks at is what they are trained at."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from flows.cli import validate
from flows.cli.validate_costs import multiply_adds
from flows.running import settings
from tests.support import params
from tests.support.params import PARAMS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def checked(size: int, space: dict | None = None, reference: dict | None = None) -> None:
    """Check the committed params with another size, and changes to the search's sections."""
    whole = copy.deepcopy(PARAMS)
    whole["corpus"]["size"] = size
    whole["search"]["space"] |= space or {}
    params.written(whole)
    file = Path(whole["search"]["reference"])
    file.write_text(yaml.safe_dump(params.REFERENCE | (reference or {})))
    validate.validate()


def test_the_space_has_the_size_of_the_corpus():
    settings.PARAMS.write_text(yaml.safe_dump(PARAMS))
    assert "resolution" not in PARAMS["search"]["space"]
    assert settings.load_params()["search"]["space"]["resolution"] == 32
    settings.PARAMS.write_text(yaml.safe_dump(PARAMS | {"corpus": {}}))
    assert settings.load_params()["search"]["space"]["resolution"] == 32


def test_another_size_of_the_space_is_refused():
    checked(32, {"resolution": 32})
    fault = r"search\.space\.resolution is 32, corpus\.size 64: .* take .* away"
    with pytest.raises(ValueError, match=fault):
        checked(64, {"resolution": 32})


@pytest.mark.parametrize("size", [8, 48, 64, 224])
def test_a_reference_of_another_cost_is_refused_with_the_values_that_go_together(size):
    with pytest.raises(
        ValueError,
        match=rf"multiply-adds at corpus\.size {size}, and search\.space\.flops is 3 to 5 M",
    ) as told:
        checked(size)
    found = multiply_adds(params.REFERENCE, size) / 1e6
    assert str(told.value).startswith(f"search.reference costs {found:.3g} M")
    bands, *stems = re.findall(r"search\.(?:space|reference): (\{[^}]*\})", str(told.value))
    checked(size, space=yaml.safe_load(bands))
    assert len(stems) == (0 if size in (8, 224) else 2)
    if stems:
        reference, space = map(yaml.safe_load, stems)
        checked(size, space, reference)


def test_a_space_without_a_band_has_nothing_to_compare():
    checked(64, {"flops": None, "acts": None, "params": [1e4, 2e5]})
