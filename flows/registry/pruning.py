"""Which runs and versions may be deleted: what is needed, and why, comes first.

A tree of runs (flows/registry/trees.py) stays or goes as a whole.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.core.digest import digest
from flows.registry import audit
from flows.registry.aliases import CHAMPION
from flows.registry.trees import Tree, paged, read_trees
from flows.running import settings
from flows.tracking import tracking
from flows.tracking.origin import origin
from flows.tracking.outage import retry

LOCK = Path("dvc.lock")
DAY = 24 * 3600 * 1000  # milliseconds
RUNNING = "running, or killed: end it in MLflow if it is not running"


class Rule(NamedTuple):
    """What goes: what is not among the newest `keep` of its kind, and older than `days`."""

    keep: int
    days: float


class Choice(NamedTuple):
    """A tree, and why it stays; it goes where there is no reason."""

    tree: Tree
    reason: str


@retry
def _models() -> list[Any]:
    """All registered models, with their aliases and tags."""
    client = tracking.connect()
    # searches leave out aliases
    found = paged(client.search_registered_models)
    return [client.get_registered_model(model.name) for model in found]


def needed_versions() -> dict[tuple[str, str], str]:
    """Why a version is needed, by (name of the model, number)."""
    found = {}
    for model in _models():
        entries = audit.entries_of(model.tags)
        present = str(model.aliases.get(CHAMPION, ""))
        for number in audit.champions(entries, present):
            found[model.name, number] = f"a rollback of {model.name} may need version {number}"
        for alias, number in model.aliases.items():
            found[model.name, str(number)] = f"version {number} is {alias} of {model.name}"
    return found


def weights_here() -> set[str]:
    """Digests of the weights that the outputs of the present dvc.lock are made of.

    Raises ValueError where they are not here, so that nobody can tell what it needs.
    """
    files = sorted(settings.OUT.glob("evaluate/*/records.json"))
    known = {file.parent.name for file in files}
    missing = [task for task in settings.load_params()["tasks"] if task not in known]
    if missing and LOCK.is_file():
        lacking = settings.OUT / "evaluate" / missing[0] / "records.json"
        raise ValueError(
            f"{lacking} is missing, so it is not known which runs {LOCK} needs: bring it back "
            "(dvc checkout, or dvc pull), then run the command again"
        )
    records = [record for file in files for record in json.loads(file.read_text())]
    if not records:
        return set()
    named = [Path(record["weights"]) for record in records]
    named += settings.OUT.glob("pretrain/**/*.safetensors")
    missing = [str(file) for file in named if not file.is_file()]
    if missing:
        raise ValueError(f"{missing[0]} is missing: bring it back with dvc checkout or dvc pull")
    return {digest(file) for file in dict.fromkeys(named)}


def _last_stages(trees: list[Tree]) -> dict[str, str]:
    """The latest run of each stage by the id of its tree's root: dvc.lock may be of it."""
    found: dict[str, tuple[int, str]] = {}
    for tree in trees:
        for run in tree.runs:
            stage = run.data.tags.get("tagdag.stage")
            began = run.info.start_time or 0
            if stage and began > found.get(stage, (-1, ""))[0]:
                found[stage] = began, tree.root.info.run_id
    return {root: stage for stage, (_, root) in found.items()}


def _here(tree: Tree, weights: set[str], pipeline: str) -> str:
    """Why the present folder needs a tree."""
    if tree.root.data.tags.get("tagdag.pipeline") == pipeline:
        return "it is the run of the present data, commit and params"
    wrote = {run.data.tags.get("tagdag.wrote") for run in tree.runs}
    registered = {version.tags.get("tagdag.weights") for version in tree.versions}
    return "dvc.lock has its weights" if weights & (wrote | registered) else ""


def _reasons(trees: list[Tree], rule: Rule) -> Iterator[str]:
    """Why each tree stays, in their order."""
    versions, last = needed_versions(), _last_stages(trees)
    weights, pipeline = weights_here(), digest(origin())
    makers = _makers(trees, versions)
    seen: dict[str, int] = {}
    now = time.time() * 1000
    for tree in trees:
        root = tree.root.info.run_id
        seen[tree.kind] = seen.get(tree.kind, 0) + (not tree.begun)
        kept = [versions.get((each.name, str(each.version)), "") for each in tree.versions]
        reasons = [*kept, makers.get(root, ""), _here(tree, weights, pipeline)]
        if any(run.info.status == "RUNNING" for run in tree.runs if not tree.begun):
            reasons.append(RUNNING)
        if not tree.begun:
            if root in last and LOCK.is_file():
                reasons.append(f"it has the last run of the stage {last[root]}")
            if seen[tree.kind] <= rule.keep:
                reasons.append(f"one of the newest {rule.keep}")
            if now - tree.time <= rule.days * DAY:
                reasons.append(f"not older than {rule.days:g} days")
        yield next(filter(None, reasons), "")


def _makers(trees: list[Tree], needed: dict[tuple[str, str], str]) -> dict[str, str]:
    """Trees with the runs that trained a needed version, by the id of their root."""
    root_of = {run.info.run_id: tree.root.info.run_id for tree in trees for run in tree.runs}
    found = {}
    for tree in trees:
        for version in tree.versions:
            if (version.name, str(version.version)) not in needed:
                continue
            for what in ("fine-tuning", "pretraining"):
                root = root_of.get(version.tags.get(f"tagdag.{what}", ""))
                if root:
                    found[root] = f"it trained version {version.version} of {version.name}"
    return found


def choose(rule: Rule) -> list[Choice]:
    """All trees, the newest first, with the reason why each stays, if there is one."""
    trees = read_trees()
    return [Choice(*both) for both in zip(trees, _reasons(trees, rule), strict=True)]


def still_goes(tree: Tree) -> bool:
    """Whether no version of a tree has come to be needed since it was chosen."""
    if not tree.versions:
        return True
    needed = needed_versions()
    return not any((each.name, str(each.version)) in needed for each in tree.versions)
