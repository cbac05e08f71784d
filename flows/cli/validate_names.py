"""Candidates, trainings and tasks of params.yaml: names that become paths, and name each other."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from corpus.names import checked_name, checked_set
from engine.core.build import options, plugin
from flows.data.made import BESIDE, checked_data, is_made
from flows.running import settings
from flows.running.settings import PARAMS, SCRATCH, check_known
from flows.training.groups import arm_run_name, groups_of

WINNER = settings.OUT / "search" / "winner.yaml"  # the one file of a candidate that a stage writes
WANTED = "write {baseline: {backbone: <backbone>, section: <file>}, ...}"


def candidate(backbone: str, section: str) -> None:
    """A network that is pretrained and fine-tuned.

    backbone: its kind, a file of models/backbones: dvc.yaml makes a dependency of it.
    section: the file with its section, a committed one or out/search/winner.yaml.
    """


def released_weights(candidate: str, file: str, format: str, inflate: str = "repeat") -> None:
    """Weights of others that arms start from.

    candidate: the network that they are of. file, format, inflate: see engine/transfer/weights.py.
    """


def validate_candidates(candidates: Any) -> None:
    """Check the section `candidates`: kinds that there are, and files that have them."""
    if not isinstance(candidates, dict) or not candidates:
        raise ValueError(f"{PARAMS}: candidates: {WANTED}")
    for name, about in candidates.items():
        where = f"candidates.{name}"
        _checked_key(name, f"{PARAMS}: candidates")
        found = options(candidate, about, where)
        plugin("backbones", found["backbone"], f"{where}.backbone")
        file = Path(found["section"])
        if file == WINNER:
            continue  # the check of costs knows what the search will write there
        if file.parts[:1] == settings.OUT.parts or not file.is_file():
            raise ValueError(
                f"{where}.section: {file} is no file: name a committed one, such as "
                f"candidates/resnext.yaml, or {WINNER}, which the search writes"
            )
        settings.backbone_section(name)


def _checked_key(name: Any, what: str) -> None:
    """A name that is a path, a part of a DVC address and one of a path of params."""
    checked_name(name, what)
    if "." in name:
        raise ValueError(f"{what}: {name!r}: DVC takes '.' for the end of a key: take '-' or '_'")


def validate_names(params: dict[str, Any], whole: dict[str, Any]) -> None:
    """Check the names that become paths and names in MLflow, and that they go together."""
    checked_set(whole["search"]["data"], "search.data")
    checked_name(whole["register"]["name"], "register.name")
    for name, section in whole["pretrain"].items():
        _validate_training(name, section, params["candidates"])
    for name, section in whole["tasks"].items():
        _validate_task(name, section, whole, params["candidates"])
    for name, section in whole["materialise"].items():
        _validate_made(name, section, whole)


def _validate_training(name: str, section: dict[str, Any], candidates: dict[str, Any]) -> None:
    where = f"pretrain.{name}"
    _checked_key(name, f"{PARAMS}: pretrain")
    if name == SCRATCH:
        raise ValueError(f"{where}: {SCRATCH} stands for no training: take another name")
    checked_set(section["data"], f"{where}.data")
    check_known(section["candidate"], candidates, f"{where}.candidate")
    about = candidates[section["candidate"]]
    for key in ("backbone", "section"):
        if section[key] != about[key]:
            raise ValueError(
                f"{where}.{key} is {section[key]}, and candidates.{section['candidate']}.{key} "
                f"{about[key]}: write that, or take both over by `<<: *{section['candidate']}`"
            )


def _validate_made(name: str, section: dict[str, Any], whole: dict[str, Any]) -> None:
    where = f"materialise.{name}"
    _checked_key(name, f"{PARAMS}: materialise")
    checked_set(section["of"], f"{where}.of")
    check_known(section["task"], whole["tasks"], f"{where}.task")
    task = whole["tasks"][section["task"]]
    check_known(section["init"], task["inits"], f"{where}.init")
    check_known(section["head"], task["heads"], f"{where}.head")


def _checked_made(data: Any, where: str, made: Iterable[str]) -> None:
    """ValueError for the name of no data, and of a set that no section makes."""
    checked_data(data, where)
    if is_made(data):
        check_known(data.removeprefix(BESIDE), made, f"{where}: {BESIDE}")


def _validate_released(
    released: dict[str, dict[str, Any]],
    taken: list[str],
    inits: list[str],
    candidates: dict[str, Any],
    where: str,
) -> None:
    """Check the names of weights of others; flows/cli/validate_networks.py looks at their files."""
    for name, about in released.items():
        at = f"{where}.released.{name}"
        _checked_key(name, f"{where}.released")
        options(released_weights, about, at)
        check_known(about["candidate"], candidates, f"{at}.candidate")
        if name in taken:
            raise ValueError(f"{at}: the name is a pretraining's, or scratch: take another")
        if name not in inits:
            raise ValueError(f"{at}: no init is of this name: list it in {where}.inits")


def _validate_task(
    name: str, section: dict[str, Any], whole: dict[str, Any], candidates: dict[str, Any]
) -> None:
    where, trainings, made = f"tasks.{name}", whole["pretrain"], whole["materialise"]
    _checked_key(name, f"{PARAMS}: tasks")
    _checked_made(section["data"], f"{where}.data", made)
    if section["data"] == "hashtags":
        raise ValueError(f"{where}.data: hashtags are no labels: write targets/<a labelled set>")
    released = section["released"]
    for init in section["inits"]:
        check_known(init, [SCRATCH, *trainings, *released], f"{where}.inits")
    _validate_released(released, [SCRATCH, *trainings], section["inits"], candidates, where)
    for wanted in section["candidates"]:
        check_known(wanted, candidates, f"{where}.candidates")
    if section["candidates"] and SCRATCH not in section["inits"]:
        raise ValueError(f"{where}.candidates: they start from scratch: add that to {where}.inits")
    if not section["heads"]:
        raise ValueError(f"{where}.heads: none is named: write {{linear: {{}}}}, for one")
    for head in section["heads"]:
        _checked_key(head, f"{where}.heads")
    counted = Counter(map(arm_run_name, groups_of(name, section)))
    twice = [arm for arm, count in counted.items() if count > 1]
    if twice:
        raise ValueError(f"{where}: two arms would be called {twice[0]}: rename a training or head")
