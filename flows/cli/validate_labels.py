"""What a run wants of the labels in data/, and what there is: told before it, and by an import.

A split that a set lacks is held out of its train images by the stage corpus: labels are counted as
they will be after that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus import splits
from corpus.names import printable
from corpus.records.kind import BaseKind
from corpus.store.classes import Classes, quoted
from corpus.store.read import kind_of, shards_of
from flows.cli.label_counts import count_labels
from flows.cli.sections import complete_params
from flows.running import settings

DATA = Path("data")
FEWEST = 100  # test images, which tell an accuracy of 50 % to 10 points: 1.96 sqrt(0.5 0.5 / n)
MEASURED = 10  # posts held out, as far as chance goes; of fewer there may be none
SHOWN = 5  # classes or sets that a line names


def label_problems(also: str | None = None) -> list[str]:
    """What of params.yaml the labels in data/ would stop, and what is to be noted: lines to print.

    also: a set that is looked at as if the first task named it too.
    """
    try:
        whole = complete_params(settings.load_params())
        named = [task["data"] for task in whole["tasks"].values()]
        if also and f"targets/{also}" not in named:
            first = next(iter(whole["tasks"].values()))
            whole["tasks"][also] = first | {"data": f"targets/{also}"}
        faults, notes = validate_labels(whole)
    # a line too: an import is not refused for what is wrong in params.yaml
    except ValueError as error:
        return [str(error)]
    return [*faults, *notes]


def validate_labels(whole: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(what stops a run, what is to be noted) of the labelled sets that the sections name.

    whole: of params.yaml, complete. ValueError for a damaged store.
    """
    # DVC brings it, or says that it cannot
    if not DATA.is_dir():
        return [], []
    known = sorted(path.parent.name for path in DATA.glob("targets/*/store.json"))
    faults, notes = _missing(whole, known), []
    shares = {name: whole["corpus"][f"{name}_share"] for name in splits.SHARES}
    for target, places in _wanted(whole).items():
        if target not in known:
            continue
        folder = DATA / "targets" / target
        classes, held = count_labels(folder, shares)
        kind = kind_of(folder, f"targets/{target}")
        found = _unusable(target, classes, places, kind.least)
        tasks = [task for place, task in _tasks(whole) if place in places]
        for place, task in _tasks(whole) if not found else ():
            if place in places:
                for number in task["labels"]:
                    short = _few(place, target, classes, held, number)
                    found.append(_counted(place, target, kind, number) or short)
        if tasks and not any(found):
            numbers = [number for task in tasks for number in task["labels"]]
            notes += _noted(target, classes, numbers)
        faults += filter(None, found)
    return faults, notes


def _tasks(whole: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(place in params.yaml of its data, section) of each task."""
    return [(f"tasks.{name}.data", task) for name, task in whole["tasks"].items()]


def _wanted(whole: dict[str, Any]) -> dict[str, list[str]]:
    """Labelled sets, and the keys that name them."""
    named = [(place, task["data"]) for place, task in _tasks(whole)]
    for name, section in whole["pretrain"].items():
        named.append((f"pretrain.{name}.data", section["data"]))
    named.append(("search.data", whole["search"]["data"]))
    wanted: dict[str, list[str]] = {}
    for place, data in named:
        _, _, target = data.partition("targets/")
        if target:
            wanted.setdefault(target, []).append(place)
    return wanted


def _missing(whole: dict[str, Any], known: list[str]) -> list[str]:
    """What the sections name and data/ has not."""
    add, lines = "python -m flows.version add", []
    if not (DATA / "posts" / "store.json").is_file():
        lines.append(f"data/posts: no posts to pretrain on: {add} --posts SOURCE")
    else:
        lines += _held_out(whole["corpus"]["holdout"])
    if whole["corpus"]["vocabulary"] == "targets" and not known:
        wanted = "targets are the classes of labelled sets"
        lines.append(f"corpus.vocabulary: {wanted}, and data/targets has none")
    sets = ", ".join(known[:SHOWN]) or "none"
    for target, places in _wanted(whole).items():
        if target not in known:
            lines.append(
                f"{places[0]}: no labelled set {target!r} in data/targets ({sets}): name one that "
                f"is there, or {add} --labels SOURCE --target {target}"
            )
    return lines


def _held_out(share: float) -> list[str]:
    """Why the posts leave nothing to measure the pretraining on."""
    posts = sum(shard.records for shard in shards_of(DATA / "posts"))
    if share * posts >= MEASURED:
        return []
    enough = f"set it to {min(0.5, MEASURED / max(posts, 1)):.2g} or more"
    return [
        f"corpus.holdout: {share:g} of {posts:,} posts are {share * posts:.2g} to measure the "
        f"pretraining on, if any: {enough if posts > 2 * MEASURED else 'add posts'}"
    ]


def _unusable(target: str, classes: Classes, places: Sequence[str], least: int) -> list[str]:
    """Why nothing can be learnt of a set, or nothing said of what was learnt.

    least: classes that a set of its kind has.
    """
    learnt = [label for label, count in classes.of("train").items() if count]
    if len(learnt) < least:
        images = f"train images of {len(learnt)} class{'es' * (len(learnt) != 1)}"
        few = "two are the fewest to tell apart" if least == 2 else f"{least} is the fewest"
        return [f"{places[0]}: {target} has {images}, and {few}: add images (split train)"]
    tested = any(place.startswith("tasks.") for place in places)
    wanted = ["val"] + ["test"] * tested
    return [
        f"{places[0]}: {target} has no {name} images: add images of them (split {name}), or set "
        f"corpus.{name}_share above 0"
        for name in wanted
        if not classes.splits[name]
    ]


def _counted(place: str, target: str, kind: BaseKind, wanted: float | str) -> str:
    """Why there are no so many of each class: an image shows objects of several."""
    if kind.square or not isinstance(wanted, int):
        return ""
    return (
        f"{place.removesuffix('data')}labels: {wanted} counts images of a class, and an image of "
        f"{target} shows several: write a share as 0.1, or all"
    )


def _few(place: str, target: str, classes: Classes, held: list[str], wanted: float | str) -> str:
    """The class that has fewer training images than are wanted of each."""
    train = classes.of("train")
    # a kind without classes, a share of what is there
    if not train or not isinstance(wanted, int):
        return ""
    label = min(train, key=lambda label: (train[label], label))
    if train[label] >= wanted:
        return ""
    less = f", {' and '.join(held)} held out" if held else ""
    short = sum(count < wanted for count in train.values())
    others = f", and {short - 1:,} more have too few" if short > 1 else ""
    fix = f"{train[label]} or fewer, or all" if train[label] else "all"
    return (
        f"{place.removesuffix('data')}labels: {wanted}, and class {quoted(label)} of {target} has "
        f"{train[label]:,} training images{less}{others}: write {fix}"
    )


def _noted(target: str, classes: Classes, wanted: list[float | str]) -> list[str]:
    """What a run does not stop for, and a person would want to know before it."""
    lines, tests = [], classes.splits["test"]
    if tests < FEWEST:
        points = 196 * (0.25 / tests) ** 0.5 if tests else 50
        lines.append(
            f"{target} has {tests:,} test images: an accuracy of 50 % is then known to "
            f"{points:.0f} points, and smaller differences between models say nothing"
        )
    means = {"test": "never tested"}
    # of a number of each class there is none without
    if not any(isinstance(each, int) for each in wanted):
        means["train"] = "never learnt"
    for split, what in sorted(means.items()):
        none = sorted(label for label, count in classes.of(split).items() if not count)
        if none:
            shown = ", ".join(map(quoted, none[:SHOWN])) + ", ..." * (len(none) > SHOWN)
            share = f"{len(none):,} of {len(classes.counts):,} classes"
            lines.append(f"{target} has {share} without {split} images, {what}: {shown}")
    return [printable(line) for line in lines]
