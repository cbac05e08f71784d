"""What a recipe does that its numbers do not say is noted; the committed ones say it themselves."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.training.recipe import Recipe, learning_rate
from flows.cli import validate
from flows.cli.recipe_notes import recipe_notes
from tests.support import params

PLACES = ("search", "pretrain.baseline-hashtags", "tasks.scenes")
SECTIONS = (
    params.PARAMS["search"],
    params.PARAMS["pretrain"]["baseline-hashtags"],
    params.PARAMS["tasks"]["scenes"],
)


def noted(recipe: dict, epochs: float = 10) -> list[str]:
    section = {"recipe": recipe, "epochs": epochs}
    without = {"recipe": {"warmup": 0}, "epochs": 1}
    # the same recipe in two trainings is noted once
    return recipe_notes([("search", section), ("pretrain.a", without), ("pretrain.b", section)])


@pytest.mark.parametrize(
    ("recipe", "epochs", "says"),
    [
        (
            {"batch": 128, "rate": 1.2, "warmup": 1},
            10,
            "search.recipe.warmup raises nothing: it begins at the rate of 256 images, 1.2, and "
            "batch 128 scales that to 0.6, which is not more: this is held for 1 epochs. `ramp: "
            "constant` says so, `start: 0.06` warms up, `warmup: 0` does neither",
        ),
        ({"rate": 1.2}, 10, "search.recipe.warmup raises nothing"),
        ({"batch": 1024, "scaling": "none"}, 10, "search.recipe.warmup raises nothing"),
        ({"batch": 1024, "ramp": "constant"}, 10, "search.recipe.warmup holds 0.1 for 5 epochs"),
        ({"batch": 1024}, 5, "search.recipe.warmup is 5 of 5 epochs: no step is taken"),
        ({"batch": 1024}, 6, None),
        ({"batch": 64, "warmup": 0, "micro": 1}, 9, "search.recipe: batch norm takes its"),
        ({"batch": 128, "warmup": 0}, 10, None),
        ({"batch": 128, "start": 0.01}, 10, None),
        ({"batch": 128, "ramp": "constant"}, 10, None),
    ],
)  # fmt: skip
def test_a_warm_up_that_is_none_is_noted(recipe, epochs, says):
    found = noted(recipe, epochs)
    assert len(found) == bool(says)
    assert not says or found[0].startswith(says)


@pytest.mark.parametrize("section", SECTIONS, ids=PLACES)
def test_the_committed_recipes_hold_their_rate_and_say_so(section):
    recipe = Recipe(**section["recipe"])
    rates = [learning_rate(recipe, i, 500, 50) for i in range(500)]
    held = round(50 * recipe.warmup)
    assert rates[held] < rates[0], "the schedule goes on from where it would be"
    assert rates[:held] == [recipe.peak] * held
    assert rates == [learning_rate(replace(recipe, ramp="gradual"), i, 500, 50) for i in range(500)]
    without = replace(recipe, warmup=0)
    assert rates[1:held] != [learning_rate(without, i, 500, 50) for i in range(1, held)]
    assert f", held for {recipe.warmup:g} epochs, then cosine" in str(recipe)


def test_the_committed_params_have_nothing_to_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params.committed()
    text = Path("params.yaml").read_text()
    assert validate.validate() == []
    assert text.count("ramp: constant") == 3
    Path("params.yaml").write_text(text.replace("ramp: constant, ", ""))
    keys = [note.split()[0] for note in validate.validate()]
    assert keys == [f"{place}.recipe.warmup" for place in PLACES]
