"""What a run wants of the labels in data/, and what there is: told before the first stage, and by an import.

A split that a set lacks is held out of its train images by the stage corpus, so labels are counted as they will be.
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
FEWEST = 100  # test images: 95 % of accuracies around 50 % are within 9.8 points of the truth (1.96 sqrt(p q / n))
SHOWN = 5  # classes or sets that a line names


def labels_against(also: str | None = None) -> list[str]:
    """What of params.yaml the labels in data/ would stop, and what is to be noted: lines, for an import to print.

    also: a set that is looked at as if the section finetune named it. A params.yaml that is wrong is a line too.
    """
    try:
        params = settings.load()
        whole = {stage: complete(stage, params[stage]) for stage in ("corpus", "search", "finetune", "evaluate")}
        if also and also not in whole["finetune"]["targets"]:
            whole["finetune"]["targets"] = [*whole["finetune"]["targets"], also]
        faults, notes = labels(whole)
    except ValueError as error:
        return [str(error)]
    return [*faults, *notes]


def labels(whole: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(what stops a run, what is to be noted) of the labelled sets that the sections name; none before data/ is there.

    whole: sections of corpus, search, finetune and evaluate, complete. ValueError for a damaged store.
    """
    if not DATA.is_dir():  # DVC brings it, or says that it cannot
        return [], []
    known = sorted(path.parent.name for path in DATA.glob("targets/*/store.json"))
    faults, notes = [], []
    if not (DATA / "posts" / "store.json").is_file():
        faults.append("data/posts: no posts to pretrain on: python -m flows.version add --posts SOURCE")
    if whole["corpus"]["vocabulary"] == "targets" and not known:
        faults.append("corpus.vocabulary: targets are the classes of labelled sets, and data/targets has none")
    shares = {name: whole["corpus"][f"{name}_share"] for name in splits.SHARES}
    for target, places in _wanted(whole).items():
        if target not in known:
            sets = ", ".join(known[:SHOWN]) or "none"
            faults.append(
                f"{places[0]}: no labelled set {target!r} in data/targets ({sets}): name one that is there, or "
                f"python -m flows.version add --labels SOURCE --target {target}"
            )
            continue
        classes, held = counted(DATA / "targets" / target, shares)
        found = _unusable(target, classes, places)
        if not found and "finetune.targets" in places:
            found = [_few(target, classes, held, n) for n in whole["finetune"]["labels_per_class"]]
            notes += _noted(target, classes, whole["finetune"]["labels_per_class"])
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


def counted(folder: Path, shares: dict[str, float]) -> tuple[Classes, list[str]]:
    """Images per class and split as the stage corpus leaves them, and the splits that it holds out of train.

    shares: {"val", "test"}. Kept by the store's digest, for a million labels take seconds.
    """
    key = digest(folder / "store.json", shares, Path(splits.__file__))
    kept = settings.STATE / "labels" / f"{folder.name}.json"
    if kept.is_file():
        about = json.loads(kept.read_text(encoding="utf-8"))
        if about["key"] == key:
            return Classes(map(tuple, about["counts"])), about["held"]
    classes, held = _counted(folder, shares)
    rows = [(label, split, n) for label, found in classes.counts.items() for split, n in found.items() if n]
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
    if not held:
        return classes, held
    number = {label: i for i, label in enumerate(sorted(classes.counts))}
    rules = [splits.HeldOut(name, shares[name], len(number)) for name in held]
    for shard in shards:
        columns = (column.to_pylist() for column in read_table(folder, shard, ROWS).columns)
        for key, label, split in zip(*columns, strict=True):
            taken = (rule.name for rule in rules if rule.takes(key, number[label])) if split == "train" else ()
            if into := next(iter(taken), None):
                classes.add(label, into)
                classes.add(label, "train", -1)
    return classes, held


def _unusable(target: str, classes: Classes, places: Iterable[str]) -> list[str]:
    """Why nothing can be learnt of a set, or nothing said of what was learnt."""
    learnt = [label for label, count in classes.of("train").items() if count]
    if len(learnt) < 2:
        images = f"train images of {len(learnt)} class{'es' * (len(learnt) != 1)}"
        return [f"{places[0]}: {target} has {images}, and two are the fewest to tell apart: add images (split train)"]
    found = {"val": "add images of them (split val), or set corpus.val_share above 0"}
    found |= {"test": "add images of them (split test), or set corpus.test_share above 0"}
    wanted = ["val"] + ["test"] * ("evaluate.targets" in places)
    return [f"{places[0]}: {target} has no {name} images: {found[name]}" for name in wanted if not classes.splits[name]]


def _few(target: str, classes: Classes, held: list[str], wanted: int | str) -> str:
    """The class that has fewer training images than are wanted of each."""
    if wanted == "all":
        return ""
    train = classes.of("train")
    label = min(train, key=lambda label: (train[label], label))
    if train[label] >= wanted:
        return ""
    less = f", {' and '.join(held)} held out" if held else ""
    short = sum(count < wanted for count in train.values())
    others = f", and {short - 1:,} more classes have too few" if short > 1 else ""
    return (
        f"finetune.labels_per_class: {wanted}, and class {named(label)} of {target} has {train[label]:,} training "
        f"images{less}{others}: write {train[label] or 'all'}" + (" or fewer, or all" if train[label] else "")
    )


def _noted(target: str, classes: Classes, wanted: list[int | str]) -> list[str]:
    """What a run does not stop for, and a person would want to know before it."""
    lines, tests = [], classes.splits["test"]
    if tests < FEWEST:
        points = 196 * (0.25 / tests) ** 0.5 if tests else 50
        lines.append(
            f"{target} has {tests:,} test images: an accuracy of 50 % is then known to {points:.0f} points, "
            "and smaller differences between models say nothing"
        )
    lacking = {"train": "is never learnt"} if wanted == ["all"] else {}
    for split, means in (lacking | {"test": "is never tested"}).items():
        none = sorted(label for label, count in classes.of(split).items() if not count)
        if none:
            shown = ", ".join(map(named, none[:SHOWN])) + (", ..." if len(none) > SHOWN else "")
            lines.append(f"{target} has {len(none):,} of {len(classes.counts):,} classes without {split} images, "
                         f"which {means}: {shown}")  # fmt: skip
    return [printable(line) for line in lines]
