"""Everything that can be wrong with params.yaml, found before the first stage runs.

The cheap things first: every key and number against the range that its signature has, names, then
what is made from them.

- flows/cli/validate_names.py: candidates, trainings and tasks, which name each other,
- flows/cli/validate_grid.py: the values that a task chooses from,
- flows/cli/validate_networks.py: parts of a network, data, metric and policy that fit each other,
- flows/cli/validate_search.py: what is the search's own,
- flows/cli/validate_costs.py: the size of the images,
- flows/cli/validate_labels.py: the labels,
- flows/cli/recipe_notes.py: what surprises.
"""

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.core.build import options, resolve
from engine.core.network import FACTS
from engine.inference.materialising import Keep
from engine.training.optimizers import called
from engine.training.recipe import Recipe
from flows.cli import (
    recipe_notes,
    validate_costs,
    validate_grid,
    validate_labels,
    validate_names,
    validate_networks,
    validate_search,
)
from flows.cli.sections import complete_params, trained_sections
from flows.running.settings import load_params, read_backbone


def validate() -> list[str]:
    """What is to be noted; ValueError for the first section that is wrong, with cause and fix.

    Nested sections, plug-ins and the data are looked at too, before anything runs or is deleted.
    """
    params = load_params()
    for place, number in float_settings(params):
        if not math.isfinite(number):
            raise ValueError(f"{place} = {number}: no key takes a number that is not finite")
    validate_names.validate_candidates(params["candidates"])
    whole = complete_params(params)
    reference = read_backbone(whole["search"]["reference"])
    search = whole["search"] | {"reference": reference}
    validate_wordnet(whole["corpus"])
    for place, section in trained_sections(whole):
        validate_nested(place, section)
    for name, section in whole["materialise"].items():
        resolve("policies", section["policy"], f"materialise.{name}.policy")
        options(Keep, section["keep"], f"materialise.{name}.keep")
    validate_names.validate_names(params, whole)
    for name, task in whole["tasks"].items():
        validate_grid.validate_grid(task, f"tasks.{name}.grid")
    validate_search.validate_search(search)
    validate_networks.validate_networks(params, whole, reference)
    validate_costs.validate_costs(params, search)
    faults, notes = validate_labels.validate_labels(whole)
    if faults:
        raise ValueError("; ".join(faults))
    return recipe_notes.recipe_notes(trained_sections(whole)) + notes


def float_settings(section: Any, place: str = "") -> list[tuple[str, float]]:
    """(path, number) of each float of a section, at any depth."""
    if isinstance(section, float):
        return [(place, section)]
    steps = section.items() if isinstance(section, dict) else []
    if isinstance(section, list):
        steps = enumerate(section)
    found = (float_settings(value, f"{place}.{key}" if place else str(key)) for key, value in steps)
    return list(itertools.chain.from_iterable(found))


def validate_wordnet(section: dict[str, Any]) -> None:
    """Check that the WordNet file is there, which comes with the data where it lies in data/."""
    wordnet = section["wordnet"]
    if section["vocabulary"] == "nouns" and not wordnet:
        fix = "name a file in corpus.wordnet, or take frequent"
        raise ValueError(f"corpus.vocabulary: nouns are WordNet's: {fix}")
    brought = wordnet and Path(wordnet).parts[0] == "data" and not Path("data").exists()
    if wordnet and not brought and not Path(wordnet).exists():
        such = "such as data/english-wordnet-2024.xml.gz"
        raise ValueError(f"corpus.wordnet: {wordnet} is no file: name one, {such}")


def resampling(
    rule: Literal["natural", "sqrt", "uniform"],
    length: Annotated[float, Field(ge=1, le=1000)],
) -> None:
    """The training list of an epoch (Mahajan et al. 2018, section 2.2; flows/training/learning.py).

    rule: an image of rare hashtags is repeated: `natural` not at all, `sqrt` by the square root of
        the inverse frequency, `uniform` by the inverse frequency.
    length: of the list, over the number of posts.
    """


def validate_nested(place: str, section: dict[str, Any]) -> None:
    """Hold what is nested in a section that trains to its ranges; nothing is made."""
    resolve("objectives", section["objective"], f"{place}.objective", ("backbone", "head"))
    if "head" in section:
        resolve("heads", section["head"], f"{place}.head", FACTS)
    for name, head in section.get("heads", {}).items():
        resolve("heads", {"name": name} | head, f"{place}.heads.{name}", FACTS)
    for key, kind in (("metric", "metrics"), ("policy", "policies")):
        if key in section:
            resolve(kind, section[key], f"{place}.{key}")
    validate_recipe(section["recipe"], f"{place}.recipe")
    if section.get("resampling"):
        options(resampling, section["resampling"], f"{place}.resampling")


def validate_recipe(section: dict[str, Any], where: str) -> None:
    """Check a recipe and the settings of its optimizer."""
    called(Recipe(**options(Recipe, section, where)), f"{where}.optimizer")
