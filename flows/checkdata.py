"""What a run wants of the labels in data/, and what there is: told before it, and by an import.

A split that a set lacks is held out of its train images by the stage corpus: labels are counted as
they will be after that.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus import splits
from corpus.names import printable
from corpus.store.classes import Classes, classes_of, named
from corpus.store.read import read_table, shards_of
from engine.digest import digest
from flows import settings
from flows.sections import complete

DATA = Path("data")
ROWS = {"id": pa.string(), "label": pa.string(), "split": pa.string()}
FEWEST = 100  # test images, which tell an accuracy of 50 % to 10 points: 1.96 sqrt(0.5 0.5 / n)
SHOWN = 5  # classes or sets that a line names
STAGES = ("corpus", "search", "finetune", "evaluate")  # whose sections say what is wanted


def labels_against(also: str | None = None) -> list[str]:
    """What of params.yaml the labels in data/ would stop, and what is to be noted: lines to print.

    also: a set that is looked at as if the section finetune named it. What is wrong with
    params.yaml itself is a line, too: an import is not refused for it.
    """
    try:
        params = settings.load()
        whole = {stage: complete(stage, params[stage]) for stage in STAGES}
        targets = whole["finetune"]["targets"]
        if also and also not in targets:
            whole["finetune"]["targets"] = [*targets, also]
        faults, notes = labels(whole)
    except ValueError as error:
        return [str(error)]
    return [*faults, *notes]


def labels(whole: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(what stops a run, what is to be noted) of the labelled sets that the sections name.

    whole: the sections of STAGES, complete. Nothing before data/ is there: DVC brings it, or says
    that it cannot. ValueError for a damaged store.
    """
    if not DATA.is_dir():
        return [], []
    known = sorted(path.parent.name for path in DATA.glob("targets/*/store.json"))
    faults, notes = _missing(whole, known), []
    shares = {name: whole["corpus"][f"{name}_share"] for name in splits.SHARES}
    numbers = whole["finetune"]["labels_per_class"]
    for target, places in _wanted(whole).items():
        if target not in known:
            continue
        classes, held = counted(DATA / "targets" / target, shares)
        found = _unusable(target, classes, places)
        if not found and "finetune.targets" in places:
            found = [_few(target, classes, held, number) for number in numbers]
            notes += _noted(target, classes, numbers)
        faults += filter(None, found)
    return faults, notes


def _wanted(whole: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Labelled sets, and the keys that name them."""
    wanted: dict[str, list[str]] = {}
    for stage in ("finetune", "evaluate"):
        for target in whole[stage]["targets"]:
            wanted.setdefault(target, []).append(f"{stage}.targets")
    _, _, searched = whole["search"]["data"].partition("targets/")
    if searched:
        wanted.setdefault(searched, []).append("search.data")
    return wanted


def _missing(whole: dict[str, dict[str, Any]], known: list[str]) -> list[str]:
    """What the sections name and data/ has not."""
    add, lines = "python -m flows.version add", []
    if not (DATA / "posts" / "store.json").is_file():
        lines.append(f"data/posts: no posts to pretrain on: {add} --posts SOURCE")
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


def counted(folder: Path, shares: dict[str, float]) -> tuple[Classes, list[str]]:
    """Images per class and split as the stage corpus leaves them; the splits it holds out of train.

    shares: {"val", "test"}. Kept by the store's digest: a million labels take some seconds.
    """
    key = digest(folder / "store.json", shares, Path(splits.__file__))
    kept = settings.STATE / "labels" / f"{folder.name}.json"
    if kept.is_file():
        about = json.loads(kept.read_text(encoding="utf-8"))
        if about["key"] == key:
            return Classes(map(tuple, about["counts"])), about["held"]
    classes, held = _counted(folder, shares)
    rows = []
    for label, found in classes.counts.items():
        rows += [(label, split, number) for split, number in found.items() if number]
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps({"key": key, "held": held, "counts": rows}), encoding="utf-8")
    part.replace(kept)
    return classes, held


def _counted(folder: Path, shares: dict[str, float]) -> tuple[Classes, list[str]]:
    shards = shards_of(folder)
    classes = classes_of((folder, shard) for shard in shards)
    had = classes.splits
    held = [name for name in ("test", "val") if not had[name] and shares[name] and had["train"]]
    number = {label: i for i, label in enumerate(sorted(classes.counts))}
    rules = [splits.HeldOut(name, shares[name], len(number)) for name in held]
    for shard in shards if held else []:
        columns = (column.to_pylist() for column in read_table(folder, shard, ROWS).columns)
        for key, label, split in zip(*columns, strict=True):
            if split != "train":
                continue
            taken = (rule.name for rule in rules if rule.takes(key, number[label]))
            if into := next(taken, None):  # the rules after it are not asked, as in the stage
                classes.add(label, into)
                classes.add(label, "train", -1)
    return classes, held


def _unusable(target: str, classes: Classes, places: Iterable[str]) -> list[str]:
    """Why nothing can be learnt of a set, or nothing said of what was learnt."""
    learnt = [label for label, count in classes.of("train").items() if count]
    if len(learnt) < 2:
        images = f"train images of {len(learnt)} class{'es' * (len(learnt) != 1)}"
        least = "two are the fewest to tell apart"
        return [f"{places[0]}: {target} has {images}, and {least}: add images (split train)"]
    wanted = ["val"] + ["test"] * ("evaluate.targets" in places)
    return [
        f"{places[0]}: {target} has no {name} images: add images of them (split {name}), or set "
        f"corpus.{name}_share above 0"
        for name in wanted
        if not classes.splits[name]
    ]


def _few(target: str, classes: Classes, held: list[str], wanted: int | str) -> str:
    """The class that has fewer training images than are wanted of each."""
    train = classes.of("train")
    label = min(train, key=lambda label: (train[label], label))
    if wanted == "all" or train[label] >= wanted:
        return ""
    less = f", {' and '.join(held)} held out" if held else ""
    short = sum(count < wanted for count in train.values())
    others = f", and {short - 1:,} more have too few" if short > 1 else ""
    fix = f"{train[label]} or fewer, or all" if train[label] else "all"
    return (
        f"finetune.labels_per_class: {wanted}, and class {named(label)} of {target} has "
        f"{train[label]:,} training images{less}{others}: write {fix}"
    )


def _noted(target: str, classes: Classes, wanted: list[int | str]) -> list[str]:
    """What a run does not stop for, and a person would want to know before it."""
    lines, tests = [], classes.splits["test"]
    if tests < FEWEST:
        points = 196 * (0.25 / tests) ** 0.5 if tests else 50
        lines.append(
            f"{target} has {tests:,} test images: an accuracy of 50 % is then known to "
            f"{points:.0f} points, and smaller differences between models say nothing"
        )
    means = {"test": "never tested"} | ({"train": "never learnt"} if wanted == ["all"] else {})
    for split, what in sorted(means.items()):
        none = sorted(label for label, count in classes.of(split).items() if not count)
        if none:
            shown = ", ".join(map(named, none[:SHOWN])) + ", ..." * (len(none) > SHOWN)
            share = f"{len(none):,} of {len(classes.counts):,} classes"
            lines.append(f"{target} has {share} without {split} images, {what}: {shown}")
    return [printable(line) for line in lines]
