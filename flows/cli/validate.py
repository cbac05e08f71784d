"""Everything that can be wrong with params.yaml, found before the first stage runs.

The cheap things first: every key and number against the range that its signature has, names, then
what is made from them. flows/cli/validate_search.py has what is the search's own,
flows/cli/validate_costs.py the size of the images, flows/cli/validate_labels.py the labels;
flows/cli/recipe_notes.py notes what surprises.
"""

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from corpus.names import checked_name, checked_set
from engine.core.build import options, plugin, resolve
from engine.core.network import network
from engine.training.optimizers import called, optimizer
from engine.training.recipe import Recipe
from engine.transfer.finetuning import probe
from engine.transfer.tuning import INITS, KEYS, WHERE, combinations
from flows.cli import recipe_notes, validate_costs, validate_labels, validate_search
from flows.cli.sections import complete_section
from flows.running.settings import PARAMS, STAGES, load_params

MOST = 10_000  # combinations of a grid's values, each of which is a training


def validate() -> list[str]:
    """What is to be noted; ValueError for the first section that is wrong, with cause and fix.

    Nested sections, plug-ins and the data are looked at too, before anything runs or is deleted.
    """
    params = load_params()
    for place, number in float_settings(params):
        if not math.isfinite(number):
            raise ValueError(f"{place} = {number}: no key takes a number that is not finite")
    if not isinstance(params["candidates"], dict) or not params["candidates"]:
        wanted = "write {baseline: <backbone>, winner: <backbone>}"
        raise ValueError(f"{PARAMS}: candidates: {wanted}")
    for key, name in params["candidates"].items():
        plugin("backbones", name, f"candidates.{key}")
    whole = {stage: complete_section(stage, params[stage]) for stage in STAGES}
    validate_wordnet(whole["corpus"])
    for stage in recipe_notes.STAGES:
        validate_nested(stage, whole[stage])
    validate_grid(whole["finetune"])
    validate_search.validate_search(whole["search"])
    validate_names(params, whole)
    for stage in recipe_notes.STAGES:
        validate_network(stage, whole[stage], whole["search"]["reference"])
    validate_costs.validate_costs(params, whole["search"])
    faults, notes = validate_labels.validate_labels(whole)
    if faults:
        raise ValueError("; ".join(faults))
    return recipe_notes.recipe_notes(whole) + notes


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


def validate_nested(stage: str, section: dict[str, Any]) -> None:
    """Hold what is nested in a section of a stage that trains to its ranges; nothing is made."""
    resolve("objectives", section["objective"], f"{stage}.objective", ("backbone", "head"))
    resolve("heads", section["head"], f"{stage}.head", ("channels", "classes"))
    validate_recipe(section["recipe"], f"{stage}.recipe")
    if "resampling" in section:
        options(resampling, section["resampling"], f"{stage}.resampling")


def validate_recipe(section: dict[str, Any], where: str) -> None:
    """Check a recipe and the settings of its optimizer."""
    called(Recipe(**options(Recipe, section, where)), f"{where}.optimizer")


def validate_grid(section: dict[str, Any]) -> None:
    """Check each value that the fine-tuning chooses from, then the combinations that there are."""
    for init in INITS:
        if not isinstance(section["grid"].get(init) or {}, dict):
            found = repr(section["grid"][init])
            raise ValueError(f"{WHERE}.{init}: found {found}, expected keys and lists of values")
    for init, mode in itertools.product(INITS, KEYS):
        own = {key: values for key, values in section["grid"].items() if key not in INITS}
        own |= section["grid"].get(init) or {}
        listed = {key: own[key] for key in KEYS[mode] if isinstance(own.get(key), list)}
        # counted before they are made: a product may be larger than memory
        count = math.prod(map(len, listed.values()))
        if count > MOST:
            many = f"{count:,} combinations for {mode}, each a training"
            raise ValueError(f"{WHERE}: {many}: list fewer values")
        for key, values in listed.items():
            for place, value in enumerate(values):
                # each alone, for its range; the combinations below, for what does not go together
                validate_choice(section, mode, {key: value})
                if value in values[:place]:
                    raise ValueError(f"{WHERE}.{key}: {value!r} is listed twice")
        for values in combinations(section["grid"], init, mode):
            validate_choice(section, mode, values)


def validate_choice(section: dict[str, Any], mode: str, values: dict[str, Any]) -> None:
    """Check hyper-parameters of a mode."""
    if mode == "full":
        validate_recipe(section["recipe"] | values, WHERE)
    elif mode == "linear":
        options(probe, values, WHERE, ("module", "samples"))
    else:
        resolve("heads", {"name": "knn"} | values, WHERE, ("channels", "classes", "samples"))


def validate_names(params: dict[str, Any], whole: dict[str, Any]) -> None:
    """Check the names that become paths and names in MLflow, and that they go together."""
    for key in params["candidates"]:
        checked_name(key, f"{PARAMS}: candidates")
    for stage in ("finetune", "evaluate"):
        for target in whole[stage]["targets"]:
            checked_name(target, f"{stage}.targets")
    checked_set(whole["search"]["data"], "search.data")
    checked_name(whole["register"]["name"], "register.name")
    tuned, tested = whole["finetune"]["targets"], whole["evaluate"]["targets"]
    if not set(tested) <= set(tuned):
        raise ValueError(
            f"evaluate.targets is {tested}, finetune.targets {tuned}: networks are tested on the "
            "classes that they were fine-tuned on: name the same labelled sets in both, or some"
        )


def validate_network(stage: str, section: dict[str, Any], reference: dict[str, Any]) -> None:
    """Make what a stage that trains makes, without memory; ValueError where parts do not fit."""
    with torch.device("meta"):
        # two classes: how many there will be is known once there is data
        module = network(reference, section["objective"], section["head"], 2, where=stage)
    if "linear" in section.get("modes", ()) and not hasattr(module.head, "fc"):
        fix = "take {name: linear}, or leave linear out of modes"
        name = section["head"]["name"]
        raise ValueError(f"{stage}.head: the mode linear fits a layer `fc`, {name} has none: {fix}")
    where = f"{stage}.recipe"
    # a layer of any size: an optimizer refuses an empty list of parameters
    optimizer(Recipe(**options(Recipe, section["recipe"], where)), torch.nn.Linear(1, 1), where)
    labelled = stage == "finetune" or section.get("data", "hashtags") != "hashtags"
    name = section["objective"]["name"]
    if labelled and name == "hashtags":
        kinds = f"{name} learns from hashtags, and this stage has labels"
        raise ValueError(f"{stage}.objective: {kinds}: take supervised")
    if not labelled and name == "supervised":
        kinds = f"{name} learns from labels, and this stage has hashtags"
        raise ValueError(f"{stage}.objective: {kinds}: take hashtags")
