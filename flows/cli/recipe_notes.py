"""What a recipe does that its numbers do not say at a glance: noted before anything runs."""

from typing import Any

from engine.core.build import options
from engine.training.recipe import Recipe

# Wu, He 2018, "Group Normalization", arXiv 1803.08494, figure 1
ALONE = "batch norm takes its statistics of one image, and errs: set batch and micro to 2 or more"
TENTH = 0.1  # of the peak: a start that a warm-up makes sense from


def recipe_notes(sections: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """A line for each surprise of a recipe; one that several trainings share is noted once.

    sections: (place in params.yaml, section) of all that trains, complete.
    """
    found, seen = [], []
    for place, section in sections:
        own = section["recipe"], section["epochs"]
        if own in seen:
            continue
        seen.append(own)
        recipe = Recipe(**options(Recipe, section["recipe"], f"{place}.recipe"))
        lines = warmup_notes(recipe) if recipe.warmup else []
        if recipe.warmup >= section["epochs"]:
            length = f"is {recipe.warmup:g} of {section['epochs']:g} epochs"
            lines.append(f"{length}: no step is taken after the warm-up")
        found += [f"{place}.recipe.warmup {line}" for line in lines]
        if 1 in (recipe.batch, recipe.micro):
            found.append(f"{place}.recipe: {ALONE}")
    return found


def warmup_notes(recipe: Recipe) -> list[str]:
    """What is not as Goyal et al. 2017 (arXiv 1706.02677), section 2.2, have the warm-up."""
    if recipe.start is not None:
        return []
    if recipe.peak <= recipe.rate and recipe.ramp == "gradual":
        return [
            f"raises nothing: it begins at the rate of {recipe.per} images, {recipe.rate:g}, and "
            f"batch {recipe.batch} scales that to {recipe.peak:g}, which is not more: this is held "
            f"for {recipe.warmup:g} epochs. `ramp: constant` says so, "
            f"`start: {TENTH * recipe.peak:.2g}` warms up, `warmup: 0` does neither"
        ]
    if recipe.peak > recipe.rate and recipe.ramp == "constant":
        return [
            f"holds {recipe.rate:g} for {recipe.warmup:g} epochs and then jumps to "
            f"{recipe.peak:g}: `ramp: gradual` is what large minibatches need"
        ]
    return []
